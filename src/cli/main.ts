/**
 * The command line as a whole: which command, and how it ends.
 */
import { messageOf } from "../errors.ts";
import { echo, readArguments, UsageError } from "./arguments.ts";
import { bench } from "./bench.ts";
import { type Command, COMMON_OPTIONS, EXIT } from "./command.ts";
import { doctor } from "./doctor.ts";
import { emit } from "./emit.ts";
import { installSqlCommand } from "./install_sql.ts";
import type { CliIo } from "./io.ts";
import { monitor } from "./monitor.ts";
import { nodes } from "./nodes.ts";
import { trigger } from "./trigger.ts";
import { VERSION } from "../version.ts";

/** The commands. */
export const COMMANDS: readonly Command[] = [
  emit,
  monitor,
  doctor,
  nodes,
  bench,
  installSqlCommand,
  trigger,
];

/** What `--help` prints. */
export const HELP: string = `Socket.IO over PostgreSQL, from a shell.

  socketio-pg COMMAND [options]

${COMMANDS.map(({ name, summary }) => `  ${name.padEnd(13)}${summary}`).join("\n")}

Examples:
  socketio-pg emit order:paid '{"id":7}' --to customer:7
  socketio-pg monitor --nsp /chat
  socketio-pg doctor
  socketio-pg emit --help

The database is that of --uri, else of DATABASE_URL, else of PGHOST, PGUSER, PGPASSWORD …
It exits with 0, with 1 when something failed, with 2 when the command is wrong.
`;

/**
 * Runs a command line.
 *
 * @param args Without the program.
 * @returns The exit code. It never rejects.
 */
export async function run(args: readonly string[], io: CliIo): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    (name === undefined ? io.err : io.out).write(HELP);
    return name === undefined ? EXIT.misused : EXIT.done;
  }
  if (name === "--version" || name === "-V") {
    io.out.write(`${VERSION}\n`);
    return EXIT.done;
  }
  const command = COMMANDS.find((each) => each.name === name);
  try {
    if (command === undefined) throw unknown(name);
    const given = readArguments(command.name, rest, { ...command.options, ...COMMON_OPTIONS });
    if (!given.has("help")) return await command.run(given, io) ?? EXIT.done;
    io.out.write(command.help);
    return EXIT.done;
  } catch (fault) {
    const isMisuse = fault instanceof UsageError;
    io.err.write(`socketio-pg: ${messageOf(fault)}\n${hintOf(fault)}`);
    if (isMisuse) {
      io.err.write(`"socketio-pg ${command === undefined ? "" : `${name} `}--help" says more\n`);
    }
    return isMisuse ? EXIT.misused : EXIT.failed;
  }
}

/** What PostgreSQL, or a function of ours in it, says of what to do about an error. */
function hintOf(fault: unknown): string {
  for (let each = fault; each instanceof Error; each = each.cause) {
    if ("hint" in each && typeof each.hint === "string") return `${each.hint}\n`;
  }
  return "";
}

function unknown(name: string): UsageError {
  const known = COMMANDS.map((each) => each.name).join(", ");
  return name.startsWith("-")
    ? new UsageError(`Cannot read ${echo(name)} there as the command comes first: one of ${known}`)
    : new UsageError(`Cannot run "${echo(name)}" as there is no such command: there are ${known}`);
}
