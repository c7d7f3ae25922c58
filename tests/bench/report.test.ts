/** What a benchmark says of what it measured. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { svg, THEMES } from "../../scripts/bench/chart.ts";
import { median, quantile } from "../../scripts/bench/figures.ts";
import {
  document,
  markdownTable,
  memoryTable,
  ratios,
  tableOf,
} from "../../scripts/bench/report.ts";
import type { Turn } from "../../scripts/bench/workloads.ts";

const TURN: Turn = {
  rate: 100,
  processor: { sender: 10, receiver: 5, database: 1 },
  memory: { sender: 100e6, receiver: 50e6 },
  lost: 0,
  duplicated: 0,
  disordered: 0,
};

test("the median is the one in the middle, and a quantile the one that so much is below", () => {
  assert.equal(median([5, 1, 3]), 3);
  assert.equal(quantile(Array.from({ length: 100 }, (_, i) => i), 0.99), 99);
});

test("ratios are within a round, and none where the other was not measured", () => {
  const ours = [{ ...TURN, rate: 300 }, { ...TURN, rate: 100 }];
  assert.deepEqual(ratios(ours, [{ ...TURN, rate: 100 }, { ...TURN, rate: 200 }]), [3, 0.5]);
  assert.deepEqual(ratios(ours, [TURN]), [3]);
  assert.deepEqual(ratios(ours, [{ ...TURN, rate: 0 }, TURN]), [1]);
});

test("a table has a column for what was measured, and for what went wrong", () => {
  const rows = tableOf({
    title: "any",
    unit: "messages/s",
    turns: {
      ours: [{ ...TURN, rate: 200 }],
      theirs: [{ ...TURN, lost: 3 }],
    },
  });
  assert.deepEqual(rows[0]!.filter((title) => /ms|lost|dupl/.test(title)), ["lost"]);
  const [head, ours, theirs] = rows as [string[], string[], string[]];
  assert.deepEqual([ours, theirs].map((row) => row[head.indexOf("lost")]), ["0", "3"]);
  assert.equal(theirs[head.indexOf("ours / this")], "2.00 (2.00 to 2.00)");
  assert.equal(markdownTable(rows).split("\n").length, 4);
});

test("memory in the end is compared where there are other servers", () => {
  const [, ours, theirs, alone] = memoryTable({
    ours: { sender: 100e6, receiver: 50e6 },
    theirs: { sender: 200e6, receiver: 100e6 },
    alone: { sender: 50e6 },
  });
  assert.deepEqual(ours, ["ours", "100", "", "50.0", ""]);
  assert.deepEqual(theirs, ["theirs", "200", "0.50", "100", "0.50"]);
  assert.deepEqual(alone, ["alone", "50.0", "2.00", "–", "–"]);
});

test("the document has each group and each workload", () => {
  const text = document({
    core: {
      title: "Three servers",
      configuration: ["a machine"],
      date: "2026-11-26",
      workloads: { "100B": { title: "100 B", unit: "messages/s", turns: { ours: [TURN] } } },
    },
    other: { title: "Other", configuration: [], date: "2026-11-26", workloads: {}, rows: [["x"]] },
  });
  for (const part of ["## Three servers", "- a machine", "### 100 B", "## Other", "| x |"]) {
    assert.ok(text.includes(part), part);
  }
});

test("a chart is well-formed whatever the names and the values", () => {
  for (const theme of Object.values(THEMES)) {
    const chart = svg({
      title: 'a "title" & <more>',
      subtitle: "",
      groups: [{
        title: "group",
        bars: [{ name: "ours", value: 0, label: "0" }, { name: "other", value: 0, label: "0" }],
      }],
    }, theme);
    assert.ok(!/NaN|Infinity|undefined/.test(chart));
    assert.ok(chart.includes('aria-label="a &quot;title&quot; &amp; &lt;more>"'));
    assert.equal(
      chart.match(/<(?!\/)[a-z]+[^>]*[^/]>/g)?.length,
      chart.match(/<\/[a-z]+>/g)?.length,
    );
  }
});
