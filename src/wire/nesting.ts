/**
 * How deeply data is nested. Reading JSON needs no recursion, but nearly all that happens to it afterwards does:
 * writing it again, looking for binary, putting attachments in, here as well as at clients.
 */

/**
 * The most levels of nesting in what comes from strangers. JSON.stringify overflows the stack of Node below 5,000
 * levels, and clients that put attachments in below 16,000; people nest a hundred at most.
 */
export const MAX_NESTING = 1_000;

const QUOTE = 0x22, BACKSLASH = 0x5c, OPEN_ARRAY = 0x5b, CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b, CLOSE_OBJECT = 0x7d;

/** Whether JSON, also malformed, has more than {@linkcode MAX_NESTING} levels: a scan, much cheaper than reading it. */
export function isJsonTooDeep(json: string): boolean {
  // Each level takes a character.
  if (json.length <= MAX_NESTING) return false;
  let depth = 0;
  for (let at = 0; at < json.length; at++) {
    switch (json.charCodeAt(at)) {
      case QUOTE:
        at = endOfString(json, at);
        if (at === -1) return false;
        break;
      case OPEN_ARRAY:
      case OPEN_OBJECT:
        if (++depth > MAX_NESTING) return true;
        break;
      case CLOSE_ARRAY:
      case CLOSE_OBJECT:
        depth--;
    }
  }
  return false;
}

/** Where a JSON string that starts at a quote ends: at its last quote, or -1. */
export function endOfString(json: string, start: number): number {
  for (let end = json.indexOf('"', start + 1); end !== -1; end = json.indexOf('"', end + 1)) {
    let before = end;
    while (json.charCodeAt(before - 1) === BACKSLASH) before--;
    if ((end - before) % 2 === 0) return end;
  }
  return -1;
}

/** Whether data has more than {@linkcode MAX_NESTING} levels, or goes in circles. */
export function isTooDeep(value: unknown, levels: number = MAX_NESTING): boolean {
  if (value === null || typeof value !== "object" || ArrayBuffer.isView(value)) return false;
  return levels === 0 || Object.values(value).some((item) => isTooDeep(item, levels - 1));
}
