/**
 * What the environment says, where Deno, Bun and Node differ.
 */
import { userInfo } from "node:os";
import process from "node:process";

/** The connection string of the environment, if it has one. */
export function databaseUrl(): string | undefined {
  return process.env.DATABASE_URL;
}

/**
 * The name of the user of the operating system, PostgreSQL's default user name. `os.userInfo()` says "unknown" in Bun,
 * and needs `--allow-sys` in Deno, where it throws without.
 */
export function userName(): string | undefined {
  const { PGUSER, USER, LOGNAME, USERNAME } = process.env;
  if (PGUSER) return PGUSER;
  try {
    const { username } = userInfo();
    if (username !== "" && username !== "unknown") return username;
  } catch (_permission) {
    // The environment is asked next.
  }
  return USER || LOGNAME || USERNAME;
}
