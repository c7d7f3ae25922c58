/** The slice of Node's Buffer that is used where it exists: it is many times faster than `btoa`. */
declare const Buffer: {
  from(
    bytes: ArrayBufferLike,
    offset: number,
    length: number,
  ): { toString(encoding: "base64"): string };
  from(text: string, encoding: "base64"): Uint8Array;
} | undefined;

/** Binary as base64, the densest text that JSON and UTF-8 leave alone. */
export function toBase64(bytes: Uint8Array): string {
  if (typeof Buffer !== "undefined") {
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
  }
  let binary = "";
  // String.fromCharCode takes its characters as arguments, of which there can be too many.
  for (let at = 0; at < bytes.length; at += 0x8000) {
    binary += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  }
  return btoa(binary);
}

/** The bytes of base64; a Buffer where there is such a thing, since that is what Socket.IO's users get. */
export function fromBase64(text: string): Uint8Array {
  if (typeof Buffer !== "undefined") return Buffer.from(text, "base64");
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}
