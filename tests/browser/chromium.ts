/** The browser of the tests: Debian's Chromium, or the one that `CHROMIUM` names. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import process from "node:process";
import { type BrowserContext, chromium } from "playwright-core";
import type { Scope } from "../support/test.ts";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Starts it; it ends with the test, which fails if anything was thrown in a page. */
export async function openBrowser(scope: Scope): Promise<BrowserContext> {
  assert.ok(
    existsSync(CHROMIUM),
    `Cannot test the page as there is no Chromium at ${CHROMIUM}: install it ` +
      `(apt-get install chromium), or set CHROMIUM to where it is`,
  );
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
  scope.after(() => browser.close());
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const faults: string[] = [];
  context.on("weberror", (fault) => faults.push(String(fault.error())));
  scope.after(() => assert.deepEqual(faults, []));
  return context;
}
