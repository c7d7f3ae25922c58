import assert from "node:assert/strict";
import process from "node:process";
import { commandOf, startExample } from "../examples/instance.ts";
import { test } from "../support/test.ts";
import { next, until } from "../support/wait.ts";
import { openBrowser } from "./chromium.ts";

const PASSWORD = "correct horse";
const ADMIN_PASSWORD_HASH = "$2b$10$XOoxHS7D3yhw3i12YAR1xevdniKzIMn8HwJHiLQepjjHzODv9MB6q";
const { TEST_DENO = "deno", TEST_BUN = "bun" } = process.env;
const COMMANDS = {
  deno: commandOf("deno", TEST_DENO),
  bun: commandOf("bun", TEST_BUN),
  node: commandOf("node", process.execPath),
};

test("the admin UI shows servers in three runtimes, and their clients", async (t) => {
  const { instances, clients, stop } = await startExample(t, "admin_ui/server.ts", {
    each: Object.entries(COMMANDS).map(([name, command]) => ({
      command,
      env: { SERVER_ID: name, ADMIN_PASSWORD_HASH },
    })),
  });
  const browser = await openBrowser(t);
  // Its fonts are elsewhere.
  await browser.route(/^https:/, (route) => route.abort());
  const page = await browser.newPage();
  await page.goto(instances[0]!.url("/"), { waitUntil: "domcontentloaded" });
  await page.getByLabel("Server URL").fill(instances[0]!.url(""));
  await page.getByLabel("Username").fill("admin");
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Connect" }).click();
  await page.getByText("connected", { exact: true }).first().waitFor();

  const open = (name: string) => page.getByRole("link", { name, exact: true }).first().click();
  await open("Servers");
  for (const name of Object.keys(COMMANDS)) {
    await page.getByRole("cell", { name, exact: true }).waitFor();
  }
  await open("Sockets");
  const [first, , third] = clients.map(({ id }) => id!) as [string, string, string];
  for (const { id } of clients) await page.getByText(id!).waitFor();

  // The client at another server than that of the page.
  const disconnected = next<[reason: string]>(clients[2]!, "disconnect");
  await page.getByRole("row").filter({ hasText: third }).getByRole("button").click();
  assert.equal((await disconnected)[0], "io server disconnect");
  await open("Sockets");
  await page.getByText(first).waitFor();
  await until("it is shown no more", async () => await page.getByText(third).count() === 0);
  await page.close();
  await stop();
}, { deadline: 90_000 });
