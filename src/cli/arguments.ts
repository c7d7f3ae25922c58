/**
 * Reads the arguments of a command, with the parser that Deno, Bun and Node have. What it says of mistakes differs between
 * them, so the sentences are our own.
 */
import { parseArgs } from "node:util";
import { withoutPassword } from "../errors.ts";

/** Somebody called a command in a way that it does not understand. */
export class UsageError extends Error {
  override readonly name: string = "UsageError";
}

/** An option: whether it has a value, or is there or not, and its letter. */
export interface OptionKind {
  readonly type: "string" | "boolean";
  readonly short?: string;
}

/** Options by name. */
export type OptionKinds = Readonly<Record<string, OptionKind>>;

/** What a command was called with. */
export class Given {
  /** What is no option. */
  readonly positionals: readonly string[];
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(positionals: readonly string[], values: ReadonlyMap<string, readonly string[]>) {
    this.positionals = positionals;
    this.#values = values;
  }

  /** Whether an option was given. */
  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** The value of an option; the last one counts. */
  value(name: string): string | undefined {
    return this.#values.get(name)?.at(-1);
  }

  /** All values of some options that may be repeated. */
  values(...names: string[]): string[] {
    return names.flatMap((name) => this.#values.get(name) ?? []);
  }

  /**
   * The value of an option that takes one of several words.
   *
   * @throws UsageError when it is another one.
   */
  choice<Word extends string>(name: string, words: readonly Word[]): Word | undefined {
    const value = this.value(name);
    const word = words.find((each) => each === value);
    if (value === undefined || word !== undefined) return word;
    throw new UsageError(
      `Cannot take "${echo(value)}" as --${name}: it is one of ${words.join(", ")}`,
    );
  }

  /**
   * The value of an option that is a number.
   *
   * @throws UsageError when it is none above zero.
   */
  number(name: string, isWhole: boolean): number | undefined {
    const value = this.value(name);
    if (value === undefined) return undefined;
    const number = /^\d+(\.\d+)?$/.test(value) ? Number(value) : NaN;
    if (number > 0 && (!isWhole || Number.isSafeInteger(number))) return number;
    throw new UsageError(
      `Cannot take "${echo(value)}" as --${name}: it is a ${isWhole ? "whole " : ""}number above 0`,
    );
  }
}

/**
 * Reads arguments.
 *
 * @param command The name of the command, for what is said of mistakes.
 * @throws UsageError with a sentence for whoever typed them.
 */
export function readArguments(
  command: string,
  args: readonly string[],
  options: OptionKinds,
): Given {
  const { tokens } = parseArgs({
    args: [...args],
    options: { ...options },
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const positionals: string[] = [];
  const values = new Map<string, string[]>();
  for (const token of tokens) {
    if (token.kind === "positional") positionals.push(token.value);
    if (token.kind !== "option") continue;
    const { name, rawName, value, inlineValue } = token;
    const kind = Object.hasOwn(options, name) ? options[name] : undefined;
    if (kind === undefined) throw unknown(command, name, rawName, options);
    if (kind.type === "boolean" && value !== undefined) {
      throw new UsageError(`Cannot read ${rawName} with a value as it takes none`);
    }
    if (kind.type === "string" && value === undefined) {
      throw new UsageError(`Cannot read ${rawName} without a value: write --${name}=…`);
    }
    if (value !== undefined && inlineValue !== true && /^-./.test(value)) {
      throw new UsageError(
        `Cannot read ${rawName} as what follows looks like an option: write --${name}=${
          echo(value)
        } if it is the value`,
      );
    }
    values.set(name, [...values.get(name) ?? [], value ?? ""]);
  }
  return new Given(positionals, values);
}

/** What a sentence may repeat of what was typed: no password, and not all of it. */
export function echo(typed: string): string {
  const safe = /\/\/|password\s*=/i.test(typed) ? withoutPassword(typed) : typed;
  return safe.length > 80 ? `${safe.slice(0, 80)}…` : safe;
}

function unknown(
  command: string,
  name: string,
  rawName: string,
  options: OptionKinds,
): UsageError {
  if (name === "secret") {
    return new UsageError(
      "Cannot take a secret from the command line as every user of the machine can read that: set SOCKETIO_PG_SECRET, or name a file with --secret-file",
    );
  }
  if (/^\d/.test(name)) {
    return new UsageError(
      `Cannot read ${rawName} as an option: put "--" before arguments that start with a dash`,
    );
  }
  const known = Object.keys(options).map((each) => `--${each}`).join(", ");
  return new UsageError(
    `Cannot read ${echo(rawName)} as "${command}" has no such option: it has ${known}`,
  );
}
