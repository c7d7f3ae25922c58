import postgres from "postgres";

/** How a statement went. */
export interface Ran {
  /** When it was handed to the driver, by this process' clock; comparable with the servers' stamps. */
  startedAt: number;
  tookMs: number;
  error?: string;
}

/** The demo's own connection: nothing of the adapter is in it. */
export interface Database {
  /** Such as "18.4". */
  version: string;
  /** Such as "127.0.0.1:5432/postgres". */
  place: string;
  /** Runs one NOTIFY; what PostgreSQL says against it is in the result. */
  notify(statement: string): Promise<Ran>;
  close(): Promise<void>;
}

/** Connects, and asks for the version. */
export async function openDatabase(uri: string, clock: () => number): Promise<Database> {
  let sql: postgres.Sql | undefined;
  let closed = false;
  // An instance whose connection was lost is not used again: the next statement opens a new one.
  const connect = () => {
    const mine: postgres.Sql = postgres(uri, {
      max: 1,
      fetch_types: false,
      connect_timeout: 5,
      connection: { application_name: "demo" },
      onnotice() {},
      onclose() {
        if (sql === mine) sql = undefined;
      },
    });
    return mine;
  };
  sql = connect();
  const { host, port, database } = sql.options;
  let version: string;
  try {
    const [row] = await sql<{ version: string }[]>`
      select split_part(current_setting('server_version'), ' ', 1) as version`;
    version = row!.version;
  } catch (error) {
    await sql?.end({ timeout: 0 });
    throw error;
  }
  return {
    version,
    place: `${host[0]}:${port[0]}/${database}`,
    async notify(statement) {
      // The page is for one kind of statement, and the extended protocol takes one at a time.
      if (!/^\s*notify\b/i.test(statement)) {
        return { startedAt: clock(), tookMs: 0, error: "only a NOTIFY statement runs here" };
      }
      if (closed) return { startedAt: clock(), tookMs: 0, error: "the demo is stopping" };
      sql ??= connect();
      const startedAt = clock();
      try {
        await sql.unsafe(statement, [], { prepare: false, ...{ simple: false } });
        return { startedAt, tookMs: clock() - startedAt };
      } catch (error) {
        return { startedAt, tookMs: clock() - startedAt, error: (error as Error).message };
      }
    },
    async close() {
      closed = true;
      await sql?.end({ timeout: 1 });
    },
  };
}
