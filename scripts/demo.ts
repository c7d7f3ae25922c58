/**
 * The demo: a PostgreSQL, three Socket.IO servers in Deno, Bun and Node, and a page that shows them.
 *
 * ```sh
 * npx -y deno task demo
 * ```
 *
 * `PORT` is the page's port (3000, or the next free one), `DATABASE_URL` a PostgreSQL to use instead
 * of the embedded one.
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Child, type ChildState } from "../demo/child.ts";
import { now } from "../demo/clock.ts";
import { type Database, openDatabase } from "../demo/database.ts";
import { type ServerId, SERVERS } from "../demo/events.ts";
import { servePage } from "../demo/page.ts";
import { openTerminal, type Step } from "../demo/terminal.ts";
import { startPostgres } from "../tests/support/postgres.ts";
import { type Runtimes, runtimes } from "./toolchain.ts";

const TITLES: Record<ServerId, string> = { deno: "Deno", bun: "Bun", node: "Node" };

const terminal = openTerminal();
const { bold, dim, line } = terminal;

/** Ctrl-C reaches this process directly, and again through the `deno task` that runs it. */
const SAME_SIGNAL_MS = 1_000;

let isInterrupted = false;
const interrupted = new Promise<void>((resolve) => {
  let first = 0;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      if (isInterrupted) {
        // The second time it is meant: the servers and PostgreSQL end with this process.
        if (performance.now() - first > SAME_SIGNAL_MS) process.exit(130);
        return;
      }
      first = performance.now();
      isInterrupted = true;
      sayStopping();
      resolve();
    });
  }
});

/** How to stop what was started; the last started goes first. */
const undos: (() => Promise<unknown>)[] = [];
let exitCode = 0;
try {
  await start();
  await interrupted;
} catch (error) {
  if (!isInterrupted) {
    exitCode = 1;
    terminal.close();
    line();
    line(`  ${messageOf(error).replaceAll("\n", "\n  ")}`);
    sayStopping();
  }
}
for (const undo of undos.reverse()) {
  try {
    await undo();
  } catch (error) {
    exitCode = 1;
    line(`  ${messageOf(error)}`);
  }
}
line(dim("  Everything is stopped."));
process.exit(exitCode);

/** Starts all, in the order in which one needs the other, and says where to look. */
async function start(): Promise<void> {
  const { PORT = "3000", DATABASE_URL } = process.env;
  if (!/^\d{1,5}$/.test(PORT) || Number(PORT) > 65_535) {
    throw new Error(`Cannot serve the page as PORT must be 0 to 65535: current value is ${PORT}`);
  }
  const { name } = JSON.parse(readFileSync(new URL("../deno.json", import.meta.url), "utf8"));
  line();
  line(`  ${bold(name)}  ${dim("Socket.IO over PostgreSQL, in three runtimes")}`);
  line();

  const since = performance.now();
  const databaseStep = terminal.step("PostgreSQL");
  const steps = SERVERS.map((id) => terminal.step(TITLES[id]));
  // A runtime that the machine lacks is fetched while PostgreSQL starts.
  const [preparing, fetching] = await Promise.allSettled([
    startDatabase(DATABASE_URL, databaseStep),
    fetchRuntimes(steps),
  ]);
  const { uri, database } = valueOf(preparing);
  undos.push(() => database.close());
  const commands = valueOf(fetching);
  goOn();

  const children: Child[] = [];
  undos.push(() => Promise.all(children.map((child) => child.stop())));
  const page = await servePage({
    port: Number(PORT),
    overview: () => ({
      name,
      database: { version: database.version, place: database.place },
      servers: children.map((child) => child.state),
    }),
    notify: database.notify,
    toggle: (id) => children.find((child) => child.state.id === id)?.toggle(),
  });
  undos.push(() => page.close());

  const file = fileURLToPath(new URL("../demo/server.ts", import.meta.url));
  const args: Record<ServerId, string[]> = {
    deno: ["run", "-A", "--quiet", file],
    bun: ["run", file],
    node: ["--disable-warning=ExperimentalWarning", file],
  };
  await Promise.race([
    interrupted,
    Promise.all(SERVERS.map((id, i) =>
      new Promise<void>((resolve) => {
        const report = reporter(steps[i]!, () => child);
        const child: Child = new Child({
          id,
          command: commands[id],
          args: args[id],
          port: page.port + 1 + i,
          env: { ...process.env, DATABASE_URL: uri, PAGE_PORT: `${page.port}` },
          onChange(state) {
            page.tell();
            if (!isInterrupted) report(state);
            if (state.state === "running" || state.state === "failed") resolve();
          },
        });
        children.push(child);
        child.start();
      })
    )),
  ]);
  goOn();
  if (children.every((child) => child.state.state === "failed")) {
    throw new Error("Cannot show the demo as none of the servers starts");
  }
  line();
  line(`  Open ${bold(`http://127.0.0.1:${page.port}`)}  ${dim(`ready in ${seconds(since)}`)}`);
  if (Number(PORT) !== 0 && page.port !== Number(PORT)) line(dim(`  (port ${PORT} is taken)`));
  line(dim("  Ctrl-C stops everything."));
}

function sayStopping(): void {
  terminal.close();
  line();
  line(dim("  Stopping …"));
}

/** Stops what is being started when nobody wants it any more. */
function goOn(): void {
  if (isInterrupted) throw new Error("interrupted");
}

async function startDatabase(
  given: string | undefined,
  step: Step,
): Promise<{ uri: string; database: Database }> {
  const since = performance.now();
  try {
    let uri = given;
    if (uri) {
      step.doing("connecting to DATABASE_URL");
    } else {
      step.doing("starting");
      const server = await startPostgres({ onProgress: (progress) => step.doing(progress) });
      undos.push(() => server.stop());
      uri = server.uri;
    }
    const database = await openDatabase(uri, now);
    const where = given ? `DATABASE_URL, ${database.place}` : database.place;
    step.done(`${database.version.padEnd(9)} ${where}  ${dim(seconds(since))}`);
    return { uri, database };
  } catch (error) {
    step.failed(given ? "cannot use DATABASE_URL" : "cannot start");
    throw error;
  }
}

async function fetchRuntimes(steps: Step[]): Promise<Runtimes> {
  for (const step of steps) step.doing("waiting");
  try {
    return await runtimes((text) => {
      // What concerns one runtime stands beside that one.
      const named = SERVERS.findIndex((id) => text.includes(TITLES[id]));
      for (const step of named < 0 ? steps : [steps[named]!]) step.doing(text);
    });
  } catch (error) {
    steps.forEach((step) => step.failed("not found"));
    throw error;
  }
}

function valueOf<T>(result: PromiseSettledResult<T>): T {
  if (result.status === "rejected") throw result.reason;
  return result.value;
}

/** Says in the terminal what becomes of a server: in its step at first, in lines of their own later. */
function reporter(step: Step, child: () => Child): (state: ChildState) => void {
  const since = performance.now();
  let isFirst = true;
  let lastWords = "";
  return (state) => {
    const title = TITLES[state.id];
    const isUp = state.state === "running";
    if (state.state === "starting") {
      if (isFirst) step.doing("starting");
      return;
    }
    if (isFirst) {
      const where = `${state.version?.padEnd(9)} 127.0.0.1:${state.port}  ${dim(seconds(since))}`;
      if (isUp) step.done(where);
      else step.failed(state.note ?? "cannot be started");
    } else if (isUp) {
      line(`  ${title} runs again, as process ${state.pid} on port ${state.port}`);
    } else {
      line(`  ${title} ${state.note}${state.state === "down" ? ", starting it again" : ""}`);
    }
    isFirst = false;
    if (isUp) return;
    const words = child().lastLines.map((last) => dim(`    ${last}`)).join("\n");
    if (words !== "" && words !== lastWords) line(words);
    lastWords = words;
    if (state.state === "failed") {
      line(`  ${title} is left alone now; its pane on the page can start it.`);
    }
  };
}

function seconds(since: number): string {
  return `${((performance.now() - since) / 1_000).toFixed(1)} s`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
