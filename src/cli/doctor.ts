/**
 * `doctor`: whether a database is fit for servers.
 */
import type { ConnectionSettings } from "../bus/settings.ts";
import { PgAdapterError } from "../errors.ts";
import {
  type Command,
  CONNECTION_HELP,
  CONNECTION_OPTIONS,
  EXIT,
  millisecondsOf,
  prefixOf,
  PROTOCOL_HELP,
  PROTOCOL_OPTIONS,
  secretOf,
} from "./command.ts";
import { settingsOfArgument } from "./database.ts";
import { gatherFacts, type Looking } from "./facts.ts";
import { type Finding, findingsOf, isBroken, unreachable } from "./findings.ts";
import { findingsAsJson, findingsAsText } from "./findings_view.ts";

/** More than the time between two heartbeats, by default. */
const WAIT_SECONDS = 6;

const HELP = `Looks at everything in a database that servers depend on, and says what to do.

  socketio-pg doctor [URI] [options]

Examples:
  socketio-pg doctor
  socketio-pg doctor --prefix shop --recovery
  socketio-pg doctor --json | jq -c 'select(.level == "broken")'

Run it where the servers run, as their role: it looks at the way to the database, the clock
of this machine and the rights of that role, too.

A line for each check: ok, warning, broken or unknown (what this role may not see). It
exits with 0, with 1 when something is broken, with 2 when the command is wrong. Warnings
do not count.

It notifies channels of its own and listens to the heartbeats of the servers. It changes
nothing, and is no server itself.

Options:
  --recovery          servers have "connectionStateRecovery": what that needs must be there,
                      or this role may make it
  --wait SECONDS      the longest wait for a heartbeat, where there are servers:
                      ${WAIT_SECONDS} by default
  --json              a line of JSON for each check, and a summary at the end
${PROTOCOL_HELP}
${CONNECTION_HELP}
`;

/** Looks whether everything is well. */
export const doctor: Command = {
  name: "doctor",
  summary: "look whether the database is fit for servers, and say what to do",
  help: HELP,
  options: {
    recovery: { type: "boolean" },
    wait: { type: "string" },
    json: { type: "boolean" },
    ...PROTOCOL_OPTIONS,
    ...CONNECTION_OPTIONS,
  },
  async run(given, io) {
    const settings = settingsOfArgument(given, "doctor");
    const findings = await examine(settings, {
      prefix: prefixOf(given),
      secret: secretOf(given, io),
      wantsRecovery: given.has("recovery"),
      waitMs: millisecondsOf(given, "wait", WAIT_SECONDS),
    });
    const isColoured = io.out.isTerminal && !io.env.NO_COLOR;
    io.out.write(
      given.has("json") ? findingsAsJson(findings) : findingsAsText(findings, isColoured),
    );
    return isBroken(findings) ? EXIT.failed : EXIT.done;
  },
};

/** Where there is no connection, that is all there is to say. */
async function examine(settings: ConnectionSettings, looking: Looking): Promise<Finding[]> {
  try {
    return findingsOf(await gatherFacts(settings, looking));
  } catch (fault) {
    if (!(fault instanceof PgAdapterError)) throw fault;
    return [unreachable(fault)];
  }
}
