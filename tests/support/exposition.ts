/**
 * Reads the text format of Prometheus, version 0.0.4, and refuses what is not exactly that: more than Prometheus does,
 * which passes over most of what it does not expect.
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 *
 * @module
 */

type Labels = Readonly<Record<string, string>>;

/** One line with a figure. */
interface Sample {
  readonly name: string;
  readonly labels: Labels;
  readonly value: number;
}

/** Figures of one name. */
export interface Family {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly samples: readonly Sample[];
}

const NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*";
const HELP = new RegExp(`^# HELP (${NAME}) ((?:[^\\\\]|\\\\[\\\\n])+)$`);
const TYPE = new RegExp(`^# TYPE (${NAME}) (counter|gauge|histogram)$`);
const PAIR = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\]|\\\\["\\\\n])*"';
const VALUE = "[+-]Inf|NaN|[+-]?(?:\\d+\\.?\\d*|\\.\\d+)(?:e[+-]?\\d+)?";
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(${PAIR}(?:,${PAIR})*)\\})? (${VALUE})$`);
const PAIRS = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\["\\n])*)"/g;
const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  counter: [""],
  gauge: [""],
  histogram: ["_bucket", "_sum", "_count"],
};

/** A text that was read. */
export class Exposition {
  readonly families: readonly Family[];

  /** @throws {Error} When it is not in the format, or keeps one of its rules badly. */
  constructor(text: string) {
    if (!text.endsWith("\n")) throw new Error("The last line has no end");
    const families: (Family & { samples: Sample[] })[] = [];
    const lines = text.slice(0, -1).split("\n");
    for (let at = 0; at < lines.length;) {
      const help = HELP.exec(lines[at++]!);
      const type = TYPE.exec(lines[at++] ?? "");
      if (help === null || type === null || help[1] !== type[1]) {
        throw new Error(`There must be HELP and TYPE of the same name before line ${at}`);
      }
      const samples: Sample[] = [];
      while (at < lines.length && !lines[at]!.startsWith("#")) samples.push(sample(lines[at++]!));
      families.push({ name: type[1]!, type: type[2]!, help: unescaped(help[2]!), samples });
    }
    for (const family of families) check(family);
    unique("name", families.map(({ name }) => name));
    this.families = families;
  }

  /** The figure with this name and these labels, no more and no fewer. */
  value(name: string, labels: Labels = {}): number {
    const key = keyOf({ name, labels });
    for (const { samples } of this.families) {
      for (const each of samples) if (keyOf(each) === key) return each.value;
    }
    throw new Error(`There is no ${key}`);
  }

  /** Whether there are figures of a name. */
  has(name: string): boolean {
    return this.families.some((family) => family.name === name);
  }
}

function sample(line: string): Sample {
  const [, name, pairs = "", value] = SAMPLE.exec(line) ?? [];
  if (name === undefined || value === undefined) throw new Error(`Cannot read the line ${line}`);
  const found = [...pairs.matchAll(PAIRS)].map(([, label, text]) =>
    [label!, unescaped(text!)] as const
  );
  unique(`label in ${line}`, found.map(([label]) => label));
  return { name, labels: Object.fromEntries(found), value: number(value) };
}

function number(text: string): number {
  return /Inf$/.test(text) ? Number(`${text}inity`) : Number(text);
}

function unescaped(text: string): string {
  return text.replace(/\\(.)/g, (_, escaped) => escaped === "n" ? "\n" : escaped);
}

function keyOf({ name, labels }: Omit<Sample, "value">): string {
  return `${name}${JSON.stringify(Object.entries(labels).sort())}`;
}

function unique(what: string, names: readonly string[]): void {
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new Error(`The ${what} is there twice: ${twice}`);
}

function check({ name, type, samples }: Family): void {
  if (samples.length === 0) throw new Error(`${name} has no figures`);
  unique("series", samples.map(keyOf));
  const names = SUFFIXES[type]!.map((suffix) => `${name}${suffix}`);
  for (const each of samples) {
    if (!names.includes(each.name)) throw new Error(`${each.name} is no part of ${name}`);
  }
  if ((type === "counter") !== name.endsWith("_total")) {
    throw new Error(`${name} is a ${type}: counters end in _total, and nothing else does`);
  }
  if (type !== "gauge" && samples.some(({ value }) => !(value >= 0))) {
    throw new Error(`${name} has a count below zero`);
  }
  if (type === "histogram") checkHistogram(name, samples);
}

function checkHistogram(name: string, samples: readonly Sample[]): void {
  const of = (suffix: string) => samples.filter((each) => each.name === `${name}${suffix}`);
  const buckets = of("_bucket").map(({ labels, value }) => ({
    le: number(labels.le ?? ""),
    value,
  }));
  for (const [i, { le, value }] of buckets.entries()) {
    const before = buckets[i - 1];
    if (Number.isNaN(le) || before !== undefined && (before.le >= le || before.value > value)) {
      throw new Error(`The buckets of ${name} do not grow at ${le}`);
    }
  }
  const [count, ...others] = of("_count");
  const last = buckets.at(-1);
  if (count === undefined || others.length > 0 || of("_sum").length !== 1) {
    throw new Error(`${name} has not one count and one sum`);
  }
  if (last?.le !== Infinity || last.value !== count.value) {
    throw new Error(`The last bucket of ${name} does not hold all`);
  }
}
