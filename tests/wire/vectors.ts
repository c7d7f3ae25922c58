import { readFileSync } from "node:fs";

/** Reads a file of golden vectors; `{"$base64":"…"}` in it stands for binary. */
export function readVectors<T>(name: string): T {
  const text = readFileSync(new URL(`./vectors/${name}.json`, import.meta.url), "utf8");
  return JSON.parse(
    text,
    (_key, value: unknown) => isBinary(value) ? Buffer.from(value.$base64, "base64") : value,
  ) as T;
}

function isBinary(value: unknown): value is { $base64: string } {
  return value !== null && typeof value === "object" && "$base64" in value &&
    typeof value.$base64 === "string";
}
