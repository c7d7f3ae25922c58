/**
 * Where and how to connect: what a connection string, a postgres.js instance or the environment says, read by
 * postgres.js itself, so that both mean the same.
 */
import type { ConnectionOptions } from "node:tls";
import { readConnectionString } from "../connection_string.ts";
import { databaseUrl, userName } from "../runtime/environment.ts";

/** A server's address. */
export type Address = { host: string; port: number } | { path: string };

/**
 * How to secure a connection. `sslmode=require` and `prefer` encrypt and do not verify: whoever is in between can read and
 * change everything, unless `sslrootcert` is given, too. `verify-ca` checks who has issued the certificate, `verify-full`
 * also whose it is.
 */
export interface Tls {
  mode: "disable" | "prefer" | "require";
  options: ConnectionOptions;
  /** Files that the connection string names, read for each attempt. */
  files: { ca?: string; cert?: string; key?: string };
}

/** Everything that a connection needs to know. */
export interface ConnectionSettings {
  addresses: readonly Address[];
  database: string;
  user: string;
  /** Asked anew for each attempt: it may be a token that expires. */
  password: () => string | Promise<string>;
  tls: Tls;
  /** Whether statements may be prepared (not behind some poolers). */
  prepare: boolean;
  /** Run-time parameters of the connection string (`options`, `application_name`). */
  parameters: Readonly<Record<string, string>>;
}

/** What tells where to connect: a connection string or an instance of postgres.js, whose options are taken over. */
export type ConnectionTarget = string | URL | PostgresInstance;

/** An instance of postgres.js: what `postgres()` returns. */
export interface PostgresInstance {
  /** Its options, as it has completed them. */
  readonly options: object;
  /** Runs a statement. */
  unsafe(
    text: string,
    parameters?: string[],
    options?: { prepare?: boolean },
  ): PromiseLike<unknown>;
}

const POSTGRES_JS_NAME = "postgres.js";

/**
 * Reads settings.
 *
 * @throws PgAdapterError `INVALID_URI`, with the password left out.
 */
export function connectionSettings(target: ConnectionTarget | undefined): ConnectionSettings {
  const given = target ?? databaseUrl();
  const options = given === undefined || typeof given === "string" || given instanceof URL
    ? parse(given)
    : given.options;
  const { host, port, path, database, user, pass, ssl, prepare, connection } = options as Parsed;
  const { application_name: name, sslrootcert, sslcert, sslkey, ...parameters } = connection;
  if (name !== undefined && name !== POSTGRES_JS_NAME) parameters.application_name = name;
  return {
    addresses: path ? [{ path }] : host.map((each, i) => ({ host: each, port: Number(port[i]) })),
    database,
    user,
    password: async () => (typeof pass === "function" ? await pass() : pass) ?? "",
    tls: tlsOf(ssl, {
      // "system" is what is trusted without any file.
      ...(sslrootcert && sslrootcert !== "system" ? { ca: sslrootcert } : {}),
      ...(sslcert ? { cert: sslcert } : {}),
      ...(sslkey ? { key: sslkey } : {}),
    }),
    prepare,
    parameters,
  };
}

/** What an error may say of a target: no password. */
export function describeTarget(settings: ConnectionSettings, address: Address): string {
  const where = "path" in address ? address.path : `${address.host}:${address.port}`;
  return `${where}, database "${settings.database}", user "${settings.user}"`;
}

/** The options of an instance, as postgres.js has them at run time. */
interface Parsed {
  host: string[];
  port: number[];
  path: string | false;
  database: string;
  user: string;
  pass: string | null | (() => string | Promise<string>);
  ssl: unknown;
  prepare: boolean;
  connection: Record<string, string>;
}

function parse(given: string | URL | undefined): unknown {
  return readConnectionString(given === undefined ? undefined : String(given), userName);
}

/** The meaning that postgres.js gives to `ssl` and `sslmode`, and libpq to the files. */
function tlsOf(ssl: unknown, files: Tls["files"]): Tls {
  const unverified: ConnectionOptions = { rejectUnauthorized: false };
  const anyHost: ConnectionOptions = { checkServerIdentity: () => undefined };
  switch (ssl) {
    case undefined:
    case null:
    case false:
    case "disable":
      return { mode: "disable", options: {}, files };
    case "prefer":
    case "allow":
      return { mode: "prefer", options: unverified, files };
    case "require":
      // https://www.postgresql.org/docs/current/libpq-ssl.html: with a root certificate it means verify-ca.
      return { mode: "require", options: files.ca === undefined ? unverified : anyHost, files };
    case "verify-ca":
      return { mode: "require", options: anyHost, files };
    default:
      return {
        mode: "require",
        options: typeof ssl === "object" ? ssl as ConnectionOptions : {},
        files,
      };
  }
}
