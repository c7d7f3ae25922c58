import type { Page } from "playwright-core";
import { startExample } from "../examples/instance.ts";
import { test } from "../support/test.ts";
import { openBrowser } from "./chromium.ts";

/** A line of what was said. */
function line(page: Page, text: string) {
  return page.getByRole("log").getByRole("listitem").filter({ hasText: text });
}

test("two pages of the chat, at two servers, talk", async (t) => {
  const { instances, stop } = await startExample(t, "chat/server.ts");
  const browser = await openBrowser(t);
  const names = ["Ann", "Ben"];
  const pages = [];
  for (const [i, name] of names.entries()) {
    const page = await browser.newPage();
    await page.goto(instances[i]!.url("/"));
    await page.getByLabel("Your name").fill(name);
    await page.getByRole("button", { name: "Join" }).click();
    await line(page, `In lobby: `).waitFor();
    pages.push(page);
  }
  const [ann, ben] = pages as [Page, Page];
  await line(ben, "In lobby: ").filter({ hasText: "Ann" }).waitFor();
  await line(ann, "Ben has joined").waitFor();
  await ben.getByLabel("Message").fill("Hello <b>Ann</b>");
  await ben.getByRole("button", { name: "Say" }).click();
  await line(ann, "Ben: Hello <b>Ann</b>").waitFor();
  await ben.close();
  await line(ann, "Ben has left").waitFor();
  await stop();
}, { deadline: 60_000 });
