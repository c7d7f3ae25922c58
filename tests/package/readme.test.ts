// What the README says to someone who is new here, done word by word with the packed npm package: two servers in each
// runtime of its users, and a client of one that hears the other. Runs once, on Node 22 and later or on Deno.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { blocksOf } from "../../scripts/docs/markdown.ts";
import { denoManifest, root } from "../../scripts/manifest.ts";
import { installPackage, packPackage, temporaryFolder } from "../../scripts/package_suite.ts";
import { givenTools, type Tool } from "../../scripts/test/consumer_tools.ts";
import { Instance } from "../examples/instance.ts";
import { databaseUri } from "../support/database.ts";
import { createDatabase } from "../support/sql.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";

const START_LIMIT = 30_000;

const text = readFileSync(join(root, "README.md"), "utf8");
const blocks = blocksOf({ file: "README.md", text });
const dir = await temporaryFolder();
const packages = ["socket.io", "socket.io-client", "@socket.io/bun-engine"];
assert.match(denoManifest().name, /^@x\//, "the README has the name of the package");
await installPackage(dir, (await packPackage()).tarball, packages);

/** The program that follows a heading of the README. */
function programAfter(heading: string): string {
  const line = text.slice(0, text.indexOf(heading)).split("\n").length;
  const block = blocks.find((each) => each.line > line);
  assert.ok(text.includes(heading) && block !== undefined, heading);
  return block.code;
}

/** The commands that the README has for a runtime: two servers, and the client. */
function commandsFor(title: string): string[][] {
  const rows = text.split("\n").filter((line) => /^\| .* \|$/.test(line))
    .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
  const first = rows.findIndex((cells) => cells.includes(title) && cells.length === 3);
  assert.ok(first >= 0, title);
  const column = rows[first]!.indexOf(title);
  return rows.slice(first + 2, first + 5)
    .map((cells) => cells[column]!.replaceAll("`", "").split(" "));
}

/** Ports that nobody has at the moment. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports: number[] = [];
  for (const server of servers) {
    await new Promise<void>((resolve) => server.listen(0, resolve));
    ports.push((server.address() as { port: number }).port);
  }
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

const TITLES = { node: "Node", bun: "Bun", deno: "Deno" } as const;

const tools: Tool[] = givenTools().filter(({ kind }) => kind !== "typescript");
if (tools.length === 0) {
  tools.push({ kind: "node", title: `Node ${process.version}`, path: process.execPath });
}
for (const { kind, title, path = "", missing } of tools) {
  if (kind === "typescript") continue;
  test(`two servers of the README talk on ${title}`, async (scope) => {
    const { uri } = await createDatabase(scope, await databaseUri());
    const { hostname, port, username, password, pathname } = new URL(uri);
    const database = {
      PGHOST: hostname,
      PGPORT: port || "5432",
      PGUSER: decodeURIComponent(username),
      PGPASSWORD: decodeURIComponent(password),
      PGDATABASE: pathname.slice(1),
      DATABASE_URL: "",
    };
    const ports = await freePorts(2);
    const programs = [
      programAfter(`**${TITLES[kind]}**`),
      programAfter("### Two servers, talking"),
    ];
    const client = programs[1]!.replace("[3000, 3001]", JSON.stringify(ports));
    assert.notEqual(client, programs[1], "the client names the ports");
    const commands = commandsFor(TITLES[kind]);
    const instances = await Promise.all(commands.map(async (words, i) => {
      const variables = words.filter((word) => word.includes("="));
      assert.deepEqual(variables, i < 2 ? [`PORT=${3000 + i}`] : []);
      const [, ...args] = words.slice(variables.length);
      const file = join(dir, args.at(-1)!);
      await writeFile(file, i < 2 ? programs[0]! : client);
      return new Instance(file, uri, {
        command: [path, ...args.slice(0, -1)],
        env: { ...database, PORT: String(ports[i] ?? 0) },
      });
    }));
    scope.after(() => Promise.all(instances.map((instance) => instance.kill())));
    const [, , listener] = instances;
    try {
      await until(
        "the client of one server hears the other",
        () => listener!.output.includes("Hello over Postgres"),
        START_LIMIT,
      );
    } catch (cause) {
      throw new Error(`They said: ${instances.map(({ output }) => output)}`, { cause });
    }
  }, { skip: missing ?? false });
}
