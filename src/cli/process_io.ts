/**
 * The streams of this process.
 */
import process from "node:process";
import type { CliIo, Output } from "./io.ts";

/** What somebody may pipe into a command: twice what an event may have, as JSON can be written with more blanks. */
const MAX_INPUT = 64 * 1024 * 1024;

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/** What a command has when it is a process. */
export function processIo(): CliIo {
  const stop = new AbortController();
  const abort = () => stop.abort();
  let isStoppable = false;
  return {
    out: output(process.stdout, abort),
    // There is nobody left to tell.
    err: output(process.stderr, () => {}),
    env: process.env,
    async readIn() {
      let text = "";
      process.stdin.setEncoding("utf8");
      for await (const piece of process.stdin) {
        text += String(piece);
        if (text.length > MAX_INPUT) {
          throw new Error(
            `Cannot read more than ${MAX_INPUT} characters from the standard input: an event has at most half of it`,
          );
        }
      }
      return text;
    },
    stopped() {
      if (!isStoppable) {
        isStoppable = true;
        // A second one ends the process, whatever it does.
        for (const name of SIGNALS) process.once(name, abort);
        stop.signal.addEventListener("abort", () => {
          for (const name of SIGNALS) process.off(name, abort);
        });
      }
      return stop.signal;
    },
  };
}

/** @param gone Called when nobody reads any more, as after `| head`. */
function output(stream: NodeJS.WriteStream, gone: () => void): Output {
  let isOpen = true;
  const close = () => {
    isOpen = false;
    gone();
  };
  stream.on("error", close);
  return {
    write(text) {
      if (!isOpen) return;
      try {
        stream.write(text);
      } catch (_gone) {
        // Deno throws what the others tell as an event.
        close();
      }
    },
    isTerminal: stream.isTTY === true,
    get columns() {
      return stream.columns;
    },
  };
}
