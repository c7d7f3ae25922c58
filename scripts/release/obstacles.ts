/**
 * What keeps the registries from taking the package, whatever its version.
 *
 * @module
 */

import type { DenoManifest, NodeManifest } from "../manifest.ts";

/** What is wrong, each in a sentence without its end. */
export function obstacles({ name }: DenoManifest, { repository }: NodeManifest): string[] {
  const url = typeof repository === "object" && repository !== null && "url" in repository
    ? repository.url
    : repository;
  return [
    ...isNameForJsr(name)
      ? []
      : [`JSR takes no "${name}": a scope has 2 to 20 of a-z, 0-9 and "-", as in "@scope/name"`],
    // npm compares it with the repository whose workflow publishes.
    ...typeof url === "string" && url.includes("github.com/")
      ? []
      : [`package.json names no "repository" at GitHub, without which npm takes no provenance`],
  ];
}

function isNameForJsr(name: string): boolean {
  return /^@[a-z][a-z0-9-]{1,19}\/[a-z0-9][a-z0-9-]+$/.test(name);
}
