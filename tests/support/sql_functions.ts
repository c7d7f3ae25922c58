/** A database that has the functions, and servers that hear what they send. */
import type { Sql } from "postgres";
import { installSql } from "../../src/sql.ts";
import { type Cluster, type ClusterOptions, createCluster, uniquePrefix } from "./cluster.ts";
import { databaseUri } from "./database.ts";
import { connectSql, createDatabase } from "./sql.ts";
import type { Scope } from "./test.ts";

/** A database of its own with the functions. */
export async function createSqlDatabase(scope: Scope): Promise<{ uri: string; sql: Sql }> {
  const { uri } = await createDatabase(scope, await databaseUri());
  const sql = connectSql(scope, uri);
  await installSql(sql);
  return { uri, sql };
}

/** Two servers, clients, and SQL beside them. */
export class SqlCluster {
  readonly cluster: Cluster;
  readonly sql: Sql;
  #marks = 0;

  constructor(cluster: Cluster, sql: Sql) {
    this.cluster = cluster;
    this.sql = sql;
  }

  /** Waits until each client has everything that SQL sent before: PostgreSQL keeps the order. */
  async settled(): Promise<void> {
    const mark = `settled ${this.#marks++}`;
    await this.sql`select socketio.emit(${mark}, nsp => ${this.cluster.namespace})`;
    await Promise.all(this.cluster.clients.map(async ({ connected }, i) => {
      if (connected) await this.cluster.inbox(i).count(mark, 1);
    }));
  }

  /** What each client has received under a name. */
  async received(event: string): Promise<unknown[][][]> {
    await this.settled();
    return this.cluster.clients.map((_client, i) => this.cluster.inbox(i).of(event));
  }

  /** Which clients have received an event of this name, once for each time. */
  async receivers(event: string): Promise<number[]> {
    return (await this.received(event)).flatMap((events, i) => events.map(() => i));
  }
}

/** A cluster in a database of its own, which knows the prefix. */
export async function createSqlCluster(
  scope: Scope,
  options: ClusterOptions = {},
): Promise<SqlCluster> {
  const { uri, sql: owner } = await createSqlDatabase(scope);
  const prefix = options.prefix ?? uniquePrefix();
  await owner.unsafe(
    `alter database ${new URL(uri).pathname.slice(1)} set socketio.prefix = '${prefix}'`,
  );
  const cluster = await createCluster(scope, { size: 2, ...options, uri, prefix });
  return new SqlCluster(cluster, connectSql(scope, uri));
}
