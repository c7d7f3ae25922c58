import process from "node:process";

/** One line of progress. */
export interface Step {
  /** Says what is being done right now. */
  doing(text: string): void;
  done(text: string): void;
  failed(text: string): void;
}

/** What the demo prints: lines that move while something is done, plain ones when nobody watches. */
export interface Terminal {
  step(name: string): Step;
  line(text?: string): void;
  /** Text for emphasis; plain when the output is no terminal or colours are not wanted. */
  bold(text: string): string;
  dim(text: string): string;
  /** Leaves the steps as they are, whatever becomes of them, and puts the cursor back. */
  close(): void;
}

const FRAMES = [..."⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"];
const NAME_WIDTH = 12;

export function openTerminal(out: NodeJS.WriteStream = process.stdout): Terminal {
  const moves = Boolean(out.isTTY) && process.env.TERM !== "dumb";
  const colours = moves && !process.env.NO_COLOR;
  const paint = (code: number) => (text: string) => colours ? `\x1b[${code}m${text}\x1b[0m` : text;
  const [bold, dim, green, red, cyan] = [paint(1), paint(2), paint(32), paint(31), paint(36)];

  // A reader that is gone, as of a pipe, is no reason to leave things undone.
  out.on("error", () => {});

  type State = { name: string; mark: "doing" | "done" | "failed"; text: string };
  const steps: State[] = [];
  let drawn = 0;
  let frame = 0;
  let isClosed = false;
  let timer: ReturnType<typeof setInterval> | undefined;

  const row = ({ name, mark, text }: State) => {
    const sign = mark === "done"
      ? green("✓")
      : mark === "failed"
      ? red("✗")
      : cyan(FRAMES[frame % FRAMES.length]!);
    // A row that wraps would be counted as one and leave rubbish behind.
    const room = Math.max(10, (out.columns ?? 80) - NAME_WIDTH - 6);
    const short = text.length > room ? `${text.slice(0, room - 1)}…` : text;
    return `  ${sign} ${name.padEnd(NAME_WIDTH)} ${mark === "doing" ? dim(short) : short}`;
  };
  const erase = () => {
    if (drawn > 0) out.write(`\x1b[${drawn}A\x1b[0J`);
    drawn = 0;
  };
  const draw = () => {
    erase();
    out.write(steps.map((step) => `${row(step)}\n`).join(""));
    drawn = steps.length;
    if (steps.some((step) => step.mark === "doing")) return;
    // All is settled: what stands there stays, and later lines go below.
    clearInterval(timer);
    timer = undefined;
    steps.length = 0;
    drawn = 0;
    out.write("\x1b[?25h");
  };

  return {
    bold,
    dim,
    step(name) {
      const state: State = { name, mark: "doing", text: "" };
      steps.push(state);
      const set = (mark: State["mark"], text: string) => {
        const isNews = state.text !== text || state.mark !== mark;
        Object.assign(state, { mark, text });
        if (isClosed) return;
        if (moves) draw();
        else if (isNews) {
          const sign = { doing: "…", done: "✓", failed: "✗" }[mark];
          out.write(`${sign} ${name.padEnd(NAME_WIDTH)} ${text}\n`);
        }
      };
      if (moves && !timer) {
        out.write("\x1b[?25l");
        timer = setInterval(() => {
          frame++;
          draw();
        }, 80);
        timer.unref?.();
      }
      return {
        doing: (text) => set("doing", text),
        done: (text) => set("done", text),
        failed: (text) => set("failed", text),
      };
    },
    line(text = "") {
      if (!timer) {
        out.write(`${text}\n`);
        return;
      }
      erase();
      out.write(`${text}\n`);
      draw();
    },
    close() {
      isClosed = true;
      clearInterval(timer);
      timer = undefined;
      if (moves) out.write("\x1b[?25h");
    },
  };
}
