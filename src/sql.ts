/**
 * Socket.IO from SQL: installs functions that emit to the clients of a cluster, from triggers and from whatever reaches
 * the database.
 *
 * @example
 * ```ts
 * import postgres from "postgres";
 * import { installSql } from "@x/socketio-pg/sql";
 *
 * const sql = postgres("postgresql://");
 * await installSql(sql);
 * await sql`select socketio.emit('hello', '{"from":"SQL"}')`;
 * await sql.end();
 * ```
 *
 * @module
 */
import { SQL_TEXT } from "./sql_text.ts";

/** The version of the functions; `socketio.version()` is what a database has. */
export const SQL_VERSION = 1;

/** What runs SQL: an instance of postgres.js, a transaction of one, or any object with this method. */
export interface SqlRunner {
  /** Runs a text of one statement. */
  unsafe(text: string): PromiseLike<unknown>;
}

/**
 * The SQL that installs the functions into the schema `socketio`, for people whose migrations are managed. It can be run
 * again at any time, by the role that ran it first.
 *
 * @returns Many statements, to be run in one transaction.
 */
export function sqlText(): string {
  return SQL_TEXT;
}

/**
 * Installs the functions into the schema `socketio`, or brings them up to date: all or nothing, and also when several
 * processes do it at once. Grants, prefix and secret stay. Functions of a later version are left as they are, and so are
 * those of this version where the owner of the database, or one who may do what this role may not, owns them. It is
 * refused where others own the schema or something in it that ours would call.
 *
 * @param sql An instance of postgres.js, a transaction of one, or any object with `unsafe(text)`.
 * @returns A promise that settles when they are there, and rejects with the error of PostgreSQL.
 */
export async function installSql(sql: SqlRunner): Promise<void> {
  await sql.unsafe(installation());
}

/** One statement, and so one transaction, that looks at what is there first. */
function installation(): string {
  return `do $socketio_install$
declare
  installed integer;
  is_mine boolean;
  is_strange boolean;
begin
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('socketio-pg sql', 0));
  -- From the catalog, which everybody may read: nothing that is there is called.
  select substring(prosrc from '[0-9]{1,9}')::integer, pg_catalog.pg_get_userbyid(proowner) = current_user,
      -- Who may install does not take the place of one who does for one who set a trap: the text below refuses.
      pg_catalog.has_database_privilege(datname, 'CREATE') and exists (
        select from pg_catalog.pg_roles where oid in (nspowner, proowner)
          and not rolsuper and oid <> datdba and rolname <> current_user
      )
    into installed, is_mine, is_strange
    from pg_catalog.pg_proc join pg_catalog.pg_namespace on pg_namespace.oid = pronamespace
      join pg_catalog.pg_database on datname = pg_catalog.current_database()
    where nspname = 'socketio' and proname = 'version' and pronargs = 0;
  if installed is null or is_strange
    or installed < ${SQL_VERSION} or installed = ${SQL_VERSION} and is_mine
  then
    execute $socketio_text$
${SQL_TEXT}
$socketio_text$;
  end if;
end
$socketio_install$`;
}
