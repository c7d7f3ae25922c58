/**
 * Events that came from elsewhere: their names, and the form of those that go on to clients as they are.
 */
import { MalformedMessage, tooDeep } from "./message.ts";
import { endOfString, isJsonTooDeep } from "./nesting.ts";
import { eventStart, type Part } from "./packet.ts";

/** Names that Socket.IO keeps for itself: https://socket.io/docs/v4/emit-cheatsheet/#reserved-events */
export const RESERVED_EVENTS: ReadonlySet<unknown> = new Set([
  "connect",
  "connect_error",
  "disconnect",
  "disconnecting",
  "newListener",
  "removeListener",
]);

/** Names that `serverSideEmit` refuses, and those that Node's event emitters emit themselves. */
export const RESERVED_SERVER_EVENTS: ReadonlySet<unknown> = new Set([
  "connect",
  "connection",
  "new_namespace",
  "newListener",
  "removeListener",
]);

/**
 * The most arguments of an event of a stranger. A listener is called with all of them at once: from some 65,000 on that
 * overflows the stack, which ends a client in Node.
 */
export const MAX_ARGUMENTS = 10_000;

/**
 * Requires the name of an event that applications may use.
 *
 * @throws MalformedMessage when it is none.
 */
export function checkEventName(name: unknown, reserved: ReadonlySet<unknown>): void {
  if (typeof name !== "string" && typeof name !== "number") {
    throw new MalformedMessage(
      `Cannot read a message as its event is no name: it is ${typeof name}`,
    );
  }
  if (reserved.has(name)) {
    throw new MalformedMessage(`Cannot read a message as its event "${name}" is reserved`);
  }
}

/**
 * Requires an event of a stranger to have no more arguments than a listener can be called with.
 *
 * @throws MalformedMessage when it has.
 */
export function checkCount(args: readonly unknown[]): void {
  if (args.length <= MAX_ARGUMENTS) return;
  throw new MalformedMessage(
    `Cannot read a message as its event has ${args.length} arguments, more than ${MAX_ARGUMENTS}`,
  );
}

/**
 * Requires parts to start and end as one event of this namespace in the form of Socket.IO's default parser, without an
 * id, with a name that applications may use. The arguments are not read.
 *
 * @param isTrusted Whether a member of the cluster encoded it, whose data may be nested as deeply as it likes.
 * @throws MalformedMessage when they do not.
 */
export function checkEvent(nsp: string, parts: readonly Part[], isTrusted: boolean): void {
  const [text, ...attachments] = parts;
  if (typeof text !== "string" || attachments.some((part) => typeof part === "string")) {
    throw new MalformedMessage("Cannot read an event as it is no text followed by binary");
  }
  const start = eventStart(nsp, attachments.length);
  if (!text.startsWith(start)) {
    throw new MalformedMessage(
      `Cannot read an event of namespace "${nsp}" with ${attachments.length} attachments as it does not start as one`,
    );
  }
  checkEventName(nameIn(text, start.length), RESERVED_EVENTS);
  if (!isTrusted && isJsonTooDeep(text.slice(start.length))) throw tooDeep();
}

const NUMBER = /-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/y;
const BRACKET = 0x5b, QUOTE = 0x22;

/** The name in a JSON array that is the rest of a text, or nothing where there is none: without reading the array. */
function nameIn(text: string, start: number): string | number | undefined {
  if (text.charCodeAt(start) !== BRACKET || !text.endsWith("]")) return undefined;
  const isString = text.charCodeAt(start + 1) === QUOTE;
  let end: number;
  if (isString) end = endOfString(text, start + 1) + 1;
  else {
    NUMBER.lastIndex = start + 1;
    end = NUMBER.test(text) ? NUMBER.lastIndex : 0;
  }
  const isAlone = end === text.length - 1;
  if (end === 0 || (!isAlone && text[end] !== ",")) return undefined;
  const json = text.slice(start + 1, end);
  if (!isString) return Number(json);
  if (!json.includes("\\")) return json.slice(1, -1);
  try {
    return JSON.parse(json) as string;
  } catch (cause) {
    throw new MalformedMessage("Cannot read an event as its name is no JSON string", { cause });
  }
}
