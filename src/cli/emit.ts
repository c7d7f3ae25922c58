/**
 * `emit`: one event, from a shell.
 */
import { Emitter } from "../emitter.ts";
import { echo, type Given, UsageError } from "./arguments.ts";
import {
  type Command,
  CONNECTION_HELP,
  CONNECTION_OPTIONS,
  namespaceOf,
  prefixOf,
  PROTOCOL_HELP,
  PROTOCOL_OPTIONS,
  secretOf,
  VERBOSE_HELP,
  VERBOSE_OPTION,
} from "./command.ts";
import { openSession, settingsOf } from "./database.ts";
import type { CliIo } from "./io.ts";

const HELP = `Emits an event to clients, whatever server they are connected to.

  socketio-pg emit EVENT [ARGUMENT …] [options]

Examples:
  socketio-pg emit hello
  socketio-pg emit order:paid '{"id":7}' --to customer:7
  socketio-pg emit news "It works" --to sports --to politics --except muted
  socketio-pg emit tick 12 --nsp /clock --volatile
  socketio-pg emit zip 01234 --string          the text "01234"
  socketio-pg emit temperature -- -5           after "--" a dash is no option
  socketio-pg emit maintenance 22:00 --recovery
  curl -s https://example.org/data.json | socketio-pg emit data -

Each ARGUMENT that is JSON is sent as that, and everything else as text. "-" is what
comes from the standard input, without the newline at its end.

Nothing is printed. It exits with 0 when PostgreSQL has taken the event, with 1 when it
has not, with 2 when the command is wrong. Whether a client was there nobody knows.

Options:
  --to, --room ROOM   only clients in the room; may be repeated
  --except ROOM       not those in the room; may be repeated
  --nsp NAMESPACE     "/" by default
  --volatile          clients that are not ready may miss it
  --recovery          clients that are away get it when they come back, where servers
                      have "connectionStateRecovery"
  --string            every ARGUMENT is text
  --json              every ARGUMENT has to be JSON
  --encrypt           as the option of the servers; needs a secret
${PROTOCOL_HELP}
${VERBOSE_HELP}
${CONNECTION_HELP}
`;

/** Emits an event. */
export const emit: Command = {
  name: "emit",
  summary: "emit an event to clients",
  help: HELP,
  options: {
    to: { type: "string" },
    room: { type: "string" },
    except: { type: "string" },
    nsp: { type: "string" },
    volatile: { type: "boolean" },
    recovery: { type: "boolean" },
    string: { type: "boolean" },
    json: { type: "boolean" },
    encrypt: { type: "boolean" },
    ...PROTOCOL_OPTIONS,
    ...VERBOSE_OPTION,
    ...CONNECTION_OPTIONS,
  },
  async run(given, io) {
    const [event, ...typed] = given.positionals;
    if (event === undefined) throw new UsageError("Cannot emit without the name of an event");
    const prefix = prefixOf(given);
    const secret = secretOf(given, io);
    const encrypt = given.has("encrypt");
    if (encrypt && secret === undefined) {
      throw new UsageError(
        "Cannot encrypt without a secret: set SOCKETIO_PG_SECRET, or name a file with --secret-file",
      );
    }
    const recovery = given.has("recovery");
    if (recovery && given.has("volatile")) {
      throw new UsageError("Cannot keep what is volatile: give either --recovery or --volatile");
    }
    const settings = settingsOf(given);
    const args = await readEventArguments(typed, given, io);
    const { session, where } = await openSession(settings);
    try {
      const options = { prefix, recovery, ...(secret === undefined ? {} : { secret, encrypt }) };
      const emitter = new Emitter(
        { unsafe: (text, parameters) => session.query(text, parameters) },
        options,
      );
      const nsp = namespaceOf(given.value("nsp") ?? "/");
      const rooms = given.values("to", "room");
      let operator = emitter.of(nsp).to(rooms).except(given.values("except"));
      if (given.has("volatile")) operator = operator.volatile;
      await operator.emit(event, ...args);
      await emitter.close();
      if (given.has("verbose")) {
        const whom = rooms.length === 0 ? "everyone" : rooms.map((room) => `"${room}"`).join(", ");
        io.err.write(`Emitted "${event}" to ${whom} in namespace "${nsp}": ${where}\n`);
      }
    } finally {
      await session.end();
    }
  },
};

/** The arguments of the event. */
async function readEventArguments(
  typed: readonly string[],
  given: Given,
  io: CliIo,
): Promise<unknown[]> {
  const [isText, isJson] = [given.has("string"), given.has("json")];
  if (isText && isJson) throw new UsageError("Cannot take arguments as both --string and --json");
  if (typed.filter((each) => each === "-").length > 1) {
    throw new UsageError('Cannot take "-" twice as there is one standard input');
  }
  const args: unknown[] = [];
  for (const each of typed) {
    const text = each === "-" ? (await io.readIn()).replace(/\r?\n$/, "") : each;
    if (isText) args.push(text);
    else args.push(parsed(text, isJson));
  }
  return args;
}

function parsed(text: string, isRequired: boolean): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    if (!isRequired) return text;
    // What the parser says repeats what it was given.
    throw new UsageError(`Cannot take "${echo(text)}" as JSON`, { cause });
  }
}
