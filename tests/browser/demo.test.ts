import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { connect } from "node:net";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Locator, Page } from "playwright-core";
import postgres from "postgres";
import { runtime } from "../support/runtime.ts";
import { type Scope, test } from "../support/test.ts";
import { until, within } from "../support/wait.ts";
import { openBrowser } from "./chromium.ts";

const TITLES = ["Deno", "Bun", "Node"] as const;
/** A first start may have to fetch runtimes. */
const START_LIMIT = 120_000;

/** A demo that runs, as a person sees it. */
interface Demo {
  url: string;
  page: Page;
  pane(title: string): Locator;
  /** Everything that it printed so far. */
  output(): string;
  /** What Ctrl-C in its terminal does. */
  interrupt(): void;
  /** Settles when the last process that shares its output is gone. */
  exit: Promise<unknown>;
}

/** Starts the demo as the README says, and opens its page in a browser. */
async function openDemo(scope: Scope, env: NodeJS.ProcessEnv = {}): Promise<Demo> {
  const { DATABASE_URL: _, ...inherited } = process.env;
  const [command, args] = runtime === "deno" ? [process.execPath, []] : ["npx", ["-y", "deno"]];
  const child = spawn(command, [...args, "task", "demo"], {
    cwd: fileURLToPath(new URL("../..", import.meta.url)),
    env: { ...inherited, PORT: "0", ...env },
    // A group of its own, to be signalled as a whole, as a terminal does.
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exit = new Promise<unknown>((resolve, reject) => {
    child.once("close", resolve);
    child.once("error", reject);
  });
  const lines: string[] = [];
  const url = new Promise<string>((resolve, reject) => {
    for (const stream of [child.stdout!, child.stderr!]) {
      createInterface(stream).on("line", (line) => {
        lines.push(line);
        const found = /Open (http:\S+)/.exec(line)?.[1];
        if (found) resolve(found);
      });
    }
    const ended = () => reject(new Error(`the demo ended:\n${lines.join("\n")}`));
    exit.then(ended, reject);
  });
  let isRunning = true;
  exit.then(() => isRunning = false, () => isRunning = false);
  scope.after(async () => {
    if (isRunning) signalGroup(child, "SIGINT");
    await exit;
  });

  const found = await within(START_LIMIT, "starting the demo", url);
  const page = await (await openBrowser(scope)).newPage();
  await page.goto(found);
  const pane = (title: string) => page.getByRole("region", { name: title, exact: true });
  for (const title of TITLES) {
    await pane(title).getByText("Connected", { exact: true }).waitFor();
    await pane(title).locator(".servers", { hasText: /^3$/ }).waitFor();
  }
  return {
    url: found,
    page,
    pane,
    output: () => lines.join("\n"),
    interrupt: () => signalGroup(child, "SIGINT"),
    exit,
  };
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  assert.ok(child.pid, "the demo was not started");
  process.kill(-child.pid, signal);
}

/** A line of conversation in a pane, which says how long it took. */
function message(pane: Locator, text: string): Locator {
  return pane.getByRole("log").getByRole("listitem").filter({ hasText: text })
    .filter({ hasText: /to this page \d+(\.\d)? ms/ });
}

async function send(pane: Locator, text: string, to = "Everyone"): Promise<void> {
  await pane.getByRole("combobox").selectOption({ label: to });
  await pane.getByRole("textbox", { name: /^Message from/ }).fill(text);
  await pane.getByRole("button", { name: "Send" }).click();
}

test("a message from the Deno pane arrives in all three", async (scope) => {
  const { page, pane } = await openDemo(scope);
  // Markup must stay what it is: text.
  const text = "Hello <img src=x onerror=alert(1)> & all";
  await send(pane("Deno"), text);
  for (const title of ["Bun", "Node"]) {
    const line = message(pane(title), text);
    await line.getByText("via Deno").waitFor();
    await line.getByText(new RegExp(`Deno → ${title} \\d+(\\.\\d)? ms`)).waitFor();
  }
  await message(pane("Deno"), text).getByText(/answered by 3 clients in \d+(\.\d)? ms/).waitFor();
  assert.equal(await page.locator("img").count(), 0);
}, { deadline: START_LIMIT + 30_000 });

test("a message to a room arrives at its members and at nobody else", async (scope) => {
  const { pane } = await openDemo(scope);
  const room = (title: string) => pane(title).getByRole("button", { name: /^sports/ });
  await room("Bun").click();
  await pane("Bun").getByText("You joined sports").waitFor();
  await room("Bun").and(pane("Bun").locator("[aria-pressed=true]")).waitFor();

  await send(pane("Node"), "Kick-off", "sports");
  await message(pane("Bun"), "Kick-off").getByText("Node → Bun").waitFor();
  await pane("Node").getByText(/Sent to sports, answered by 1 client in/).waitFor();
  // Messages of one server keep their order: when this one is there the other would be, too.
  await send(pane("Node"), "Good evening, everyone");
  for (const title of ["Deno", "Node"]) {
    await message(pane(title), "Good evening, everyone").waitFor();
    assert.equal(await message(pane(title), "Kick-off").count(), 0);
  }
}, { deadline: START_LIMIT + 30_000 });

test("a NOTIFY by hand arrives in all three, and a wrong one is explained", async (scope) => {
  const { page, pane } = await openDemo(scope);
  const statement = page.getByRole("textbox", { name: /NOTIFY by hand/ });
  const run = page.getByRole("button", { name: "Run" });
  await statement.fill(
    `NOTIFY "socket.io:/", '{"emit":["chat",{"text":"it''s from psql"}],"to":["news"]}'`,
  );
  await run.click();
  for (const title of TITLES) {
    const line = message(pane(title), "it's from psql");
    await line.getByText("by hand").waitFor();
    await line.getByText(`NOTIFY → ${title}`).waitFor();
  }
  await page.getByText(/^NOTIFY, \d+(\.\d)? ms$/).waitFor();

  await statement.fill(`NOTIFY "socket.io:/`);
  await run.click();
  await page.getByText(/^ERROR: .*unterminated quoted identifier/).waitFor();
  await statement.fill("drop table users");
  await run.click();
  await page.getByText("ERROR: only a NOTIFY statement runs here").waitFor();
  await statement.fill(`NOTIFY a; NOTIFY b`);
  await run.click();
  await page.getByText(/^ERROR: .*multiple commands/).waitFor();
  await statement.fill(`NOTIFY "socket.io:/", '{"emit":"chat"}'`);
  await run.click();
  for (const title of TITLES) await pane(title).getByText(/Cannot read a plain message/).waitFor();
}, { deadline: START_LIMIT + 30_000 });

test("a server that dies is said to be down, started again and taken back", async (scope) => {
  const { page, pane, output } = await openDemo(scope);
  const before = await pane("Bun").locator(".pid").textContent();
  await page.getByRole("button", { name: "Kill the Bun process" }).click();
  await pane("Bun").getByText("Down", { exact: true }).waitFor();
  await pane("Bun").getByText("The process was ended by SIGKILL. Starting it again.").waitFor();
  await pane("Deno").getByText("Bun left the cluster").waitFor();
  await pane("Bun").getByText("Connected", { exact: true }).waitFor();
  for (const title of TITLES) await pane(title).locator(".servers", { hasText: /^3$/ }).waitFor();
  assert.notEqual(await pane("Bun").locator(".pid").textContent(), before);
  assert.match(output(), /Bun was ended by SIGKILL, starting it again/);

  // Its client is back in its room.
  await send(pane("Node"), "Welcome back", "news");
  await message(pane("Bun"), "Welcome back").waitFor();
}, { deadline: START_LIMIT + 30_000 });

test("Ctrl-C stops every process that the demo started", async (scope) => {
  const { url, page, pane, output, interrupt, exit } = await openDemo(scope);
  const ports = [new URL(url).port, ...output().matchAll(/127\.0\.0\.1:(\d+)/g).map((m) => m[1])];
  const place = await page.locator("#database-place").textContent();
  assert.equal(new Set(ports).size, 5, `the page, three servers and PostgreSQL in\n${output()}`);
  const pids = await Promise.all(
    TITLES.map(async (title) => Number(await pane(title).locator(".pid").textContent())),
  );
  pids.push(...await postgresProcesses(`postgresql://postgres@${place}`));
  for (const pid of pids) assert.ok(isAlive(pid), `process ${pid}`);

  interrupt();
  await within(20_000, "stopping the demo", exit);
  assert.match(output(), /Everything is stopped\./);
  await page.getByText("The demo has stopped.").first().waitFor();
  for (const pid of pids) await until(`process ${pid} is gone`, () => !isAlive(pid));
  for (const port of ports) assert.equal(await canConnect(Number(port)), false, `port ${port}`);
}, { deadline: START_LIMIT + 60_000 });

/** The server's own process, and those that it keeps. */
async function postgresProcesses(uri: string): Promise<number[]> {
  const sql = postgres(uri, { max: 1, fetch_types: false });
  try {
    const rows = await sql<{ pid: number }[]>`
      select split_part(pg_read_file('postmaster.pid'), e'\n', 1)::int as pid
      union select pid from pg_stat_activity where pid <> pg_backend_pid()`;
    return rows.map((row) => row.pid);
  } finally {
    await sql.end();
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Not ours to signal is alive, too.
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
