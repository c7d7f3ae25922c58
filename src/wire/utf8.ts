/** The slice of Node's Buffer that is used where it exists; the wire itself runs anywhere. */
declare const Buffer: { byteLength(text: string): number } | undefined;

const encoder = new TextEncoder();
// Without the option a piece that starts with U+FEFF would lose it, as a mark of the order of bytes.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** How many bytes a text has as UTF-8, without making them. */
export function utf8Length(text: string): number {
  return typeof Buffer === "undefined" ? encoder.encode(text).length : Buffer.byteLength(text);
}

/**
 * Cuts a text into pieces of at most `maxBytes` bytes of UTF-8, never inside a character.
 *
 * @param text Well-formed text.
 * @param maxBytes At least 4, the longest character.
 */
export function splitUtf8(text: string, maxBytes: number): string[] {
  const pieces: string[] = [];
  if (utf8Length(text) === text.length) {
    for (let at = 0; at < text.length; at += maxBytes) pieces.push(text.slice(at, at + maxBytes));
    return pieces;
  }
  const bytes = encoder.encode(text);
  for (let at = 0; at < bytes.length;) {
    let end = Math.min(at + maxBytes, bytes.length);
    // A byte of the form 10xxxxxx continues a character.
    while (end < bytes.length && (bytes[end]! & 0xc0) === 0x80) end--;
    pieces.push(decoder.decode(bytes.subarray(at, end)));
    at = end;
  }
  return pieces;
}

/** Whether PostgreSQL can carry the text: no NUL, no lone surrogate (it would arrive as U+FFFD). */
export function isPlainText(text: string): boolean {
  return text.isWellFormed() && !text.includes("\0");
}
