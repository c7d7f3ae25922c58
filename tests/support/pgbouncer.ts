/**
 * A real PgBouncer in front of a PostgreSQL, where it is installed.
 *
 * @module
 */
import { spawn, spawnSync } from "node:child_process";
import { chownSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { freePort } from "./postgres.ts";
import { serverUser, temporaryFolder } from "./postgres_binaries.ts";
import type { Scope } from "./test.ts";
import { until } from "./wait.ts";

/** Where Debian puts it; elsewhere it is in the path. */
const PATH = `${process.env["PATH"] ?? ""}:/usr/sbin:/usr/local/sbin`;

/** Why tests with PgBouncer cannot run here; `false` if they can. */
export const noPgBouncer: string | false = isInstalled()
  ? false
  : "there is no pgbouncer: apt-get install pgbouncer";

function isInstalled(): boolean {
  const { status } = spawnSync("pgbouncer", ["--version"], {
    env: { ...process.env, PATH },
    stdio: "ignore",
  });
  return status === 0;
}

/**
 * Starts one; it ends with the test.
 *
 * @param uri Where PostgreSQL is.
 * @param mode When a client gives its server connection back.
 * @returns The uri through it.
 */
export async function startPgBouncer(
  scope: Scope,
  uri: string,
  mode: "session" | "transaction",
  settings: Readonly<Record<string, string>> = {},
): Promise<string> {
  const user = serverUser();
  const target = new URL(uri);
  const port = await freePort();
  const folder = mkdtempSync(join(temporaryFolder(user), "socketio-pg-bouncer-"));
  const options = {
    listen_addr: "127.0.0.1",
    listen_port: `${port}`,
    unix_socket_dir: "",
    auth_type: "trust",
    auth_file: join(folder, "users"),
    pool_mode: mode,
    ...settings,
  };
  const password = decodeURIComponent(target.password);
  const files = {
    users: `"${target.username}" "${password}"\n`,
    ini: [
      "[databases]",
      `* = host=${target.hostname} port=${target.port || 5432}`,
      "[pgbouncer]",
      ...Object.entries(options).map(([name, value]) => `${name} = ${value}`),
      "",
    ].join("\n"),
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  if (user) {
    for (const path of ["", "users", "ini"]) chownSync(join(folder, path), user.uid, user.gid);
  }
  const log = join(folder, "log");
  const child = spawn("sh", ["-c", 'exec pgbouncer "$1/ini" >"$1/log" 2>&1', "sh", folder], {
    env: { PATH },
    stdio: "ignore",
    ...user,
  });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  scope.after(async () => {
    child.kill("SIGKILL");
    await ended;
    rmSync(folder, { recursive: true });
  });
  try {
    await until("pgbouncer accepts connections", () => accepts(port));
  } catch (cause) {
    throw new Error(`Cannot start pgbouncer: ${readFileSync(log, "utf8")}`, { cause });
  }
  target.hostname = "127.0.0.1";
  target.port = `${port}`;
  return target.href;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("error", () => resolve(false));
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}
