/**
 * `install-sql`: the functions of SQL.
 */
import { installSql, SQL_VERSION, sqlText } from "../sql.ts";
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

Examples:
  socketio-pg install-sql --uri postgresql://owner@localhost/shop
  socketio-pg install-sql --print > socketio.sql
  socketio-pg install-sql --print | psql -1 -v ON_ERROR_STOP=1

It may be run again at any time: grants, prefix and secret stay, and functions of a
later version are left as they are. The role needs CREATE on the database.

Options:
  --print             print the SQL, for migrations; connects to nothing
${VERBOSE_HELP}
${CONNECTION_HELP}
`;

/** Installs the functions of SQL, or prints them. */
export const installSqlCommand: Command = {
  name: "install-sql",
  summary: "install the functions that emit from SQL, or print them",
  help: HELP,
  options: { print: { type: "boolean" }, ...VERBOSE_OPTION, ...CONNECTION_OPTIONS },
  async run(given, io) {
    noMoreThan(0, given, "install-sql");
    if (given.has("print")) return io.out.write(sqlText());
    const { session, where } = await openSession(settingsOf(given));
    try {
      await installSql({ unsafe: (text) => session.query(text) });
    } finally {
      await session.end();
    }
    if (given.has("verbose")) io.err.write(`Version ${SQL_VERSION} or later is there: ${where}\n`);
  },
};
