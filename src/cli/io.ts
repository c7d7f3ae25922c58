/**
 * What a command has of the world: tests give it another one.
 */

/** Where text goes. */
export interface Output {
  write(text: string): void;
  /** Whether somebody looks at it. */
  readonly isTerminal: boolean;
  /** How wide that terminal is, where it says so. */
  readonly columns?: number | undefined;
}

/** Streams and surroundings of a command. */
export interface CliIo {
  /** What was asked for. */
  readonly out: Output;
  /** Everything else. */
  readonly err: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** All of the standard input. */
  readIn(): Promise<string>;
  /**
   * From the first call on, Ctrl-C does not end the process.
   *
   * @returns What is aborted by Ctrl-C, and when nobody reads the output any more.
   */
  stopped(): AbortSignal;
}
