/**
 * Reads connection strings by postgres.js itself, so that the adapter, the emitter and the application mean the same by
 * one. For any runtime.
 */
import postgres from "postgres";
import { messageOf, PgAdapterError, withoutPassword } from "./errors.ts";

/**
 * The options of postgres.js for a connection string, completed by the environment.
 *
 * @param uri Without one everything comes from the environment.
 * @param userName The name of the user of the operating system, where postgres.js does not find it.
 * @throws PgAdapterError `INVALID_URI`, with the password left out.
 */
export function readConnectionString(
  uri: string | undefined,
  userName: () => string | undefined,
): object {
  if (uri !== undefined && !/^postgres(ql)?:\/\//.test(uri)) {
    throw invalidUri(uri, "it does not start with postgresql://");
  }
  try {
    const ipv6 = /^[^/]*\/\/(?:[^/?@]*@)?\[([^\]]+)\](?::(\d+))?/.exec(uri ?? "");
    // postgres.js splits hosts at colons, so an IPv6 address is given apart.
    const hosts = ipv6 === null ? {} : { host: [ipv6[1]!], port: [Number(ipv6[2] ?? 5432)] };
    const read = (more: { user?: string }) => {
      // The driver takes arrays of hosts, too, which its types do not say.
      const options = { ...hosts, ...more } as { user?: string };
      return uri === undefined ? postgres(options).options : postgres(uri, options).options;
    };
    const options = read({});
    if (options.user && options.user !== "unknown") return options;
    const user = userName();
    if (user !== undefined) return read({ user });
    if (options.user) return options;
    throw new TypeError(
      "it names no user, and that of the operating system is not known (Deno tells with --allow-sys)",
    );
  } catch (cause) {
    throw invalidUri(uri ?? "", messageOf(cause), cause);
  }
}

/** The error for a connection string that cannot be used. */
export function invalidUri(uri: string, why: string, cause?: unknown): PgAdapterError {
  // URL's own error repeats its input, password included, in its message or beside it.
  const isUrlError = cause instanceof Error && ("input" in cause || why.includes("//"));
  const safe = isUrlError ? "it is no valid URL" : why;
  const options = cause === undefined || isUrlError ? undefined : { cause };
  return new PgAdapterError(
    "INVALID_URI",
    `Cannot read the connection string "${
      withoutPassword(uri)
    }" as ${safe}: it has the form postgresql://[user[:password]@][host][:port][/database][?param=value]`,
    options,
  );
}
