/**
 * CHANGELOG.md: what is not released yet stands under "Pending", and each version has a section of its own.
 *
 * @module
 */

const PENDING = "## Pending";

/** What is under "Pending": empty when nothing is. */
export function pending(changelog: string): string {
  const start = changelog.indexOf(`${PENDING}\n`);
  if (start === -1) throw new Error(`Cannot read CHANGELOG.md as it has no section "${PENDING}"`);
  const rest = changelog.slice(start + PENDING.length);
  const end = rest.search(/^## /m);
  return (end === -1 ? rest : rest.slice(0, end)).trim();
}

/**
 * Makes a version of what is pending.
 *
 * @param version As in `1.2.3`.
 * @param date As in `2026-11-26`.
 * @throws {Error} When nothing is pending, or the version has a section already.
 */
export function released(changelog: string, version: string, date: string): string {
  if (pending(changelog) === "") {
    throw new Error(`Cannot release ${version} as nothing stands under "${PENDING}"`);
  }
  if (hasVersion(changelog, version)) {
    throw new Error(`Cannot release ${version} as CHANGELOG.md has it already`);
  }
  return changelog.replace(`${PENDING}\n`, `${PENDING}\n\n## ${version} (${date})\n`);
}

/** Whether a version has a section. */
export function hasVersion(changelog: string, version: string): boolean {
  return changelog.split("\n").some((line) => line.startsWith(`## ${version} (`));
}
