/**
 * What was heard as text: a line for somebody who looks at it, or a line of JSON. Names and data come from strangers, so
 * nothing that a terminal would obey is written as it is.
 */
import { toBase64 } from "../wire/base64.ts";
import type { RatesReport } from "./rates.ts";
import type { Heard } from "./traffic.ts";

/** Controls, what separates lines, and what turns the direction of writing. */
const OBEYED = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu;

/** No line shows more of a value. */
const MAX_CHARACTERS = 2_000;

const DIM = "\x1b[2m", YELLOW = "\x1b[33m", RESET = "\x1b[0m";

/** How lines look. */
export interface Look {
  /** How many characters a line has at most. */
  readonly width: number;
  readonly isColoured: boolean;
}

/** A line of JSON. */
export function jsonLine(type: string, fields: object): string {
  return `${safe(JSON.stringify({ type, ...fields }))}\n`;
}

/** What was heard, as a line of JSON: binary is `{"base64":"…"}` in it. */
export function heardAsJson({ at, type, ...heard }: Heard): string {
  return jsonLine(type, {
    time: at.toISOString(),
    ...(withBinary(heard, (bytes) => ({ base64: toBase64(bytes) })) as object),
  });
}

/** What was heard, as a line for a terminal. */
export function heardAsText(heard: Heard, look: Look): string {
  const time = clock(heard.at);
  const text = ` ${heard.error === undefined ? sentence(heard) : complaint(heard)}`;
  const rest = cut(safe(text), look.width - time.length);
  if (!look.isColoured) return `${time}${rest}\n`;
  const colour = heard.error === undefined ? "" : YELLOW;
  return `${DIM}${time}${RESET}${colour}${rest}${colour === "" ? "" : RESET}\n`;
}

/** Rates, as a line for a terminal. */
export function ratesAsText(report: RatesReport, { width }: Look): string {
  const { messages, bytes, perSecond, bytesPerSecond, shown } = report;
  const only = shown < messages ? ` (${shown} shown)` : "";
  return cut(
    `${perSecond.toFixed(1)} messages/s, ${size(bytesPerSecond)}/s; ${counted(messages)}${only}, ${
      size(bytes)
    }${troubles(report)}`,
    width,
  );
}

/** What there was, at the end. */
export function summaryAsText(report: RatesReport, look: Look): string {
  const channels = Object.entries(report.channels).map(([channel, { messages, bytes }]) =>
    `${cut(`  ${safe(channel)}: ${counted(messages)}, ${size(bytes)}`, look.width)}\n`
  );
  return `In ${report.seconds.toFixed(1)} s: ${ratesAsText(report, look)}\n${channels.join("")}`;
}

function sentence(
  { type, nsp = "", rooms = [], except = [], flags, ack, ...heard }: Heard,
): string {
  const names = rooms.length === 0 ? "everyone" : rooms.map(name).join(", ");
  const not = except.length === 0 ? "" : ` but ${except.map(name).join(", ")}`;
  const whom = type === "serverSideEmit" ? "servers" : `${names}${not}`;
  const marks = [
    flags?.volatile ? "volatile" : "",
    ack ? "asks for answers" : "",
  ].filter((mark) => mark !== "");
  const what = heard.event === undefined
    ? `[${type}]${heard.value === undefined ? "" : ` ${shown(heard.value)}`}`
    : `${heard.event}(${(heard.args ?? []).map(shown).join(", ")})`;
  return `${nsp} > ${whom}: ${what}${marks.length === 0 ? "" : ` [${marks.join(", ")}]`}`;
}

function complaint({ channel, type, error }: Heard): string {
  return `${channel} ! ${type}: ${error}`;
}

function name(room: string | number): string {
  return typeof room === "number" || /[\s,]/.test(room) || room === ""
    ? JSON.stringify(room)
    : room;
}

function shown(value: unknown): string {
  const json = JSON.stringify(withBinary(value, (bytes) => `<${bytes.length} bytes>`));
  return json.length > MAX_CHARACTERS ? `${json.slice(0, MAX_CHARACTERS)}…` : json;
}

/** The same with something else for binary. */
function withBinary(value: unknown, replace: (bytes: Uint8Array) => unknown): unknown {
  if (value === null || typeof value !== "object") return value;
  if (value instanceof Uint8Array) return replace(value);
  if (Array.isArray(value)) return value.map((each) => withBinary(each, replace));
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [key, withBinary(each, replace)]),
  );
}

/** What a terminal would obey, as in a string of JSON. */
export function safe(text: string): string {
  return text.replace(
    OBEYED,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function cut(text: string, width: number): string {
  // Most lines are short, and no character has less than one code unit.
  if (text.length <= width) return text;
  const characters = [...text];
  return characters.length <= width
    ? text
    : `${characters.slice(0, Math.max(0, width - 1)).join("")}…`;
}

function clock(at: Date): string {
  const two = (number: number) => String(number).padStart(2, "0");
  const ms = String(at.getMilliseconds()).padStart(3, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${ms}`;
}

function counted(messages: number): string {
  return `${messages} message${messages === 1 ? "" : "s"}`;
}

function size(bytes: number): string {
  if (bytes < 1_000) return `${Math.round(bytes)} B`;
  return bytes < 1_000_000 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function troubles({ malformed, refused, sealed, incomplete }: RatesReport): string {
  return Object.entries({ malformed, refused, sealed, incomplete })
    .map(([what, count]) => count === 0 ? "" : `, ${count} ${what}`).join("");
}
