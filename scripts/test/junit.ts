/**
 * Reads the reports of the three test runners, which agree on the tags of JUnit and little else.
 *
 * @module
 */

/** What one test came to. */
export interface TestResult {
  /** The names of its groups and its own, joined by " > ". */
  readonly name: string;
  readonly outcome: "passed" | "failed" | "skipped";
  /** How long it took, as the runner says. */
  readonly milliseconds: number;
  /** What the runner says about a failure. */
  readonly message: string;
}

const TAG =
  /<!--[\s\S]*?-->|<!\[CDATA\[([\s\S]*?)\]\]>|<(\/?)([\w:-]+)((?:\s+[\w:-]+\s*=\s*(?:"[^"]*"|'[^']*'))*)\s*(\/?)>/g;
const ATTRIBUTE = /([\w:-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/g;
const ENTITIES: Record<string, string> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };

/**
 * Reads a report.
 *
 * @param xml The text of the report.
 * @param isFileOutermost Whether the outermost groups stand for files, as in Deno and Bun.
 * @returns Each test once; groups of tests are not counted.
 * @throws {SyntaxError} If the report is not whole.
 */
export function parseJunit(xml: string, isFileOutermost: boolean): TestResult[] {
  if (!/<\/testsuites>\s*$|<testsuites[^>]*\/>\s*$/.test(xml)) {
    throw new SyntaxError("Cannot read the report as it does not end in </testsuites>");
  }
  const results: TestResult[] = [];
  const groups: string[] = [];
  let open: { outcome: TestResult["outcome"]; texts: string[] } | undefined;
  let [name, milliseconds] = ["", 0];
  let textFrom = 0;
  for (const match of xml.matchAll(TAG)) {
    const [whole, cdata, isClosing, tag, attributes = "", isEmpty] = match;
    if (open !== undefined && open.outcome === "failed") {
      open.texts.push(decode(xml.slice(textFrom, match.index)), cdata ?? "");
    }
    textFrom = match.index + whole.length;
    if (tag === "testsuite") {
      if (isClosing) groups.pop();
      else if (!isEmpty) groups.push(attributesOf(attributes)["name"] ?? "");
    } else if (tag === "testcase" && !isClosing) {
      const path = isFileOutermost ? groups.slice(1) : groups;
      const given = attributesOf(attributes);
      name = [...path, given["name"] ?? ""].join(" > ");
      milliseconds = Number(given["time"] ?? 0) * 1_000;
      open = { outcome: "passed", texts: [] };
    } else if (open !== undefined && (tag === "failure" || tag === "error") && !isClosing) {
      open.outcome = "failed";
      if (isEmpty) open.texts.push(attributesOf(attributes)["message"] ?? "");
    } else if (open !== undefined && tag === "skipped" && open.outcome === "passed") {
      open.outcome = "skipped";
    }
    if (open !== undefined && tag === "testcase" && (isClosing || isEmpty)) {
      const { outcome, texts } = open;
      results.push({ name, outcome, milliseconds, message: texts.join("").trim() });
      open = undefined;
    }
  }
  return results.filter((result) => !isGroup(result, results));
}

/** Deno lists a group as a test of its own, beside those in it. A group that failed by itself still counts. */
function isGroup({ name, outcome, message }: TestResult, all: readonly TestResult[]): boolean {
  if (!all.some((other) => other.name.startsWith(`${name} > `))) return false;
  return outcome !== "failed" || /^\d+ test steps? failed\.?$/.test(message);
}

function attributesOf(text: string): Record<string, string> {
  return Object.fromEntries(
    [...text.matchAll(ATTRIBUTE)].map((
      [, name, double, single],
    ) => [name, decode(double ?? single ?? "")]),
  );
}

function decode(text: string): string {
  return text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (whole, hex, decimal, name) => {
    if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16));
    if (decimal !== undefined) return String.fromCodePoint(Number(decimal));
    return ENTITIES[name] ?? whole;
  });
}
