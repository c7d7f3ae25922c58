/** The version of the package. Made by scripts/manifest.ts out of deno.json. */
export const VERSION = "0.1.0";
