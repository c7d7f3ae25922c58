/**
 * `install-sql`: the functions of SQL, or the log of connection state recovery.
 */
import { installRecovery, RECOVERY_VERSION, recoverySqlText } from "../recovery/schema.ts";
import { installSql, SQL_VERSION, sqlText } from "../sql.ts";
import { UsageError } from "./arguments.ts";
import {
  type Command,
  CONNECTION_HELP,
  CONNECTION_OPTIONS,
  noMoreThan,
  VERBOSE_HELP,
  VERBOSE_OPTION,
} from "./command.ts";
import { openSession, settingsOf } from "./database.ts";

const HELP = `Installs the functions that emit from SQL into the schema "socketio".

  socketio-pg install-sql [--print] [options]
  socketio-pg install-sql --recovery [--durable] [--print] [options]

Examples:
  socketio-pg install-sql --uri postgresql://owner@localhost/shop
  socketio-pg install-sql --print > socketio.sql
  socketio-pg install-sql --print | psql -1 -v ON_ERROR_STOP=1
  socketio-pg install-sql --recovery

It may be run again at any time: grants, prefix and secret stay, and functions of a
later version are left as they are. The role needs CREATE on the database.

With --recovery it installs instead the tables and functions of connection state
recovery, which servers otherwise make by themselves when they may.

Options:
  --recovery          those of connection state recovery
  --durable           what they keep survives a crash of the database, also in tables that
                      are there already; without it these stay as they are
  --print             print the SQL, for migrations; connects to nothing
${VERBOSE_HELP}
${CONNECTION_HELP}
`;

/** Installs the functions of SQL, or prints them. */
export const installSqlCommand: Command = {
  name: "install-sql",
  summary: "install the functions that emit from SQL, or print them",
  help: HELP,
  options: {
    recovery: { type: "boolean" },
    durable: { type: "boolean" },
    print: { type: "boolean" },
    ...VERBOSE_OPTION,
    ...CONNECTION_OPTIONS,
  },
  async run(given, io) {
    noMoreThan(0, given, "install-sql");
    const isRecovery = given.has("recovery");
    const isDurable = given.has("durable");
    if (isDurable && !isRecovery) throw new UsageError("Cannot take --durable without --recovery");
    if (given.has("print")) {
      return io.out.write(isRecovery ? recoverySqlText(isDurable) : sqlText());
    }
    const { session, where } = await openSession(settingsOf(given));
    let what: string;
    try {
      if (isRecovery) {
        const installed = await installRecovery(session, isDurable);
        what = `Version ${RECOVERY_VERSION} or later of recovery is there, ${
          installed.isDurable ? "durable" : "not durable"
        }`;
      } else {
        await installSql({ unsafe: (text) => session.query(text) });
        what = `Version ${SQL_VERSION} or later is there`;
      }
    } finally {
      await session.end();
    }
    if (given.has("verbose")) io.err.write(`${what}: ${where}\n`);
  },
};
