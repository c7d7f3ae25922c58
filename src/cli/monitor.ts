/**
 * `monitor`: what travels, decoded, as it happens.
 */
import { deferred } from "../bus/deadline.ts";
import { Places } from "../bus/places.ts";
import { Sealer } from "../runtime/sealer.ts";
import { namespaceChannel, roomChannel } from "../wire/channel.ts";
import { utf8Length } from "../wire/utf8.ts";
import { type Given, UsageError } from "./arguments.ts";
import {
  type Command,
  CONNECTION_HELP,
  CONNECTION_OPTIONS,
  namespaceOf,
  noMoreThan,
  prefixOf,
  PROTOCOL_HELP,
  PROTOCOL_OPTIONS,
  secretOf,
} from "./command.ts";
import { settingsOf } from "./database.ts";
import { Eavesdropper } from "./eavesdropper.ts";
import type { CliIo } from "./io.ts";
import { Rates } from "./rates.ts";
import { type Heard, Traffic } from "./traffic.ts";
import {
  heardAsJson,
  heardAsText,
  jsonLine,
  type Look,
  ratesAsText,
  summaryAsText,
} from "./view.ts";

const HELP = `Shows what travels between the servers, as it happens, until Ctrl-C.

  socketio-pg monitor [options]

Examples:
  socketio-pg monitor
  socketio-pg monitor --nsp / --nsp /chat
  socketio-pg monitor --room news              what members of "news" are sent
  socketio-pg monitor --room news --all        and everything else
  socketio-pg monitor --event 'order:*'
  socketio-pg monitor --json | jq -c 'select(.type == "emit") | [.event, .args]'
  socketio-pg monitor --json --count 1         wait for one message

What it cannot see:
  - events to one room, unless you name it with --room: servers in the dynamic mode
    (the default) send them on a channel of that room, and PostgreSQL has no "all channels".
  - what a server emits with "local", and what servers answer each other.
  - what was sent while its connection was lost: it is no server, and nobody repeats
    it. It connects again by itself, and says so.
It sends nothing to servers, and does not count as one.

Options:
  --nsp NAMESPACE     which one, "/" by default; may be repeated
  --room ROOM         listen to the room, too, and show only what its members are sent;
                      may be repeated
  --all               with --room: show everything
  --event PATTERN     show only events of this name, "*" stands for anything; may be repeated
  --json              a line of JSON for each message, and a summary at the end
  --rates SECONDS     how often rates are told: 1 on a terminal, else never
  --count NUMBER      end after so many messages were shown
${PROTOCOL_HELP}
${CONNECTION_HELP}
`;

/** The width of lines that go nowhere that has one. */
const WIDTH = 120;

/** How often the connection is looked after. */
const CHECK_MS = 10_000;

/** Shows what travels. */
export const monitor: Command = {
  name: "monitor",
  summary: "show what travels between the servers, as it happens",
  help: HELP,
  options: {
    nsp: { type: "string" },
    room: { type: "string" },
    all: { type: "boolean" },
    event: { type: "string" },
    json: { type: "boolean" },
    rates: { type: "string" },
    count: { type: "string" },
    ...PROTOCOL_OPTIONS,
    ...CONNECTION_OPTIONS,
  },
  async run(given, io) {
    noMoreThan(0, given, "monitor");
    if (given.has("all") && !given.has("room")) {
      throw new UsageError("Cannot take --all without --room: everything is shown");
    }
    const watch = watchOf(given);
    const secret = secretOf(given, io);
    const channels = channelsOf(watch);
    const settings = settingsOf(given);
    const screen = new Screen(given, io, [...channels.keys()]);
    const over = deferred<void>();
    let isOver = false;
    const end = () => {
      isOver = true;
      over.resolve();
    };
    const traffic = new Traffic(
      placesOf(channels),
      secret === undefined ? undefined : new Sealer(secret),
      (heard) => {
        if (isOver) return;
        screen.show(heard, isWanted(heard, watch));
        if (screen.isFull) end();
      },
    );
    let wasUp = false;
    const eavesdropper = new Eavesdropper(settings, [...channels.keys()], {
      up() {
        screen.note(wasUp ? "Listening again" : `Listening to ${[...channels.keys()].join(", ")}`);
        wasUp = true;
      },
      down: (error) => screen.note(`${error.message}: what is sent meanwhile is not seen`),
      failed(error) {
        // Later it is an outage, which passes.
        if (!wasUp) over.reject(error);
      },
      notification(channel, payload) {
        screen.rates.payload(channel, utf8Length(payload));
        traffic.receive(channel, payload, new Date());
      },
    });
    const check = setInterval(() => {
      traffic.sweep();
      // It never rejects.
      void eavesdropper.check(CHECK_MS / 2);
    }, CHECK_MS);
    const stopRates = screen.startRates(() => traffic.incomplete);
    const stopped = io.stopped();
    stopped.addEventListener("abort", end);
    if (stopped.aborted) end();
    try {
      eavesdropper.start();
      await over.promise;
    } finally {
      stopped.removeEventListener("abort", end);
      clearInterval(check);
      stopRates();
      await eavesdropper.close();
    }
    screen.finish(traffic.incomplete);
  },
};

/** What is to be seen. */
interface Watch {
  readonly prefix: string;
  readonly namespaces: readonly string[];
  readonly rooms: readonly string[];
  /** Whether only what the members of the rooms are sent is shown. */
  readonly isOnlyRooms: boolean;
  readonly events: readonly ((name: string) => boolean)[];
}

function watchOf(given: Given): Watch {
  const namespaces = given.values("nsp").map(namespaceOf);
  const rooms = given.values("room");
  return {
    prefix: prefixOf(given),
    namespaces: namespaces.length === 0 ? ["/"] : namespaces,
    rooms,
    isOnlyRooms: rooms.length > 0 && !given.has("all"),
    events: given.values("event").map(pattern),
  };
}

/**
 * Names of events; everything but the star is itself. Looked for part after part: names come from strangers, and a regular
 * expression with some stars could take hours for one.
 */
function pattern(text: string): (name: string) => boolean {
  const [first = "", ...parts] = text.split("*");
  const last = parts.pop();
  if (last === undefined) return (name) => name === first;
  return (name) => {
    if (!name.startsWith(first)) return false;
    let end = first.length;
    for (const part of parts) {
      const found = name.indexOf(part, end);
      if (found === -1) return false;
      end = found + part.length;
    }
    return name.length - last.length >= end && name.endsWith(last);
  };
}

/** The channels, and what each stands for. */
function channelsOf({ prefix, namespaces, rooms }: Watch): Map<string, [string, string?][]> {
  const channels = new Map<string, [string, string?][]>();
  const add = (channel: string, place: [string, string?]) =>
    channels.set(channel, [...channels.get(channel) ?? [], place]);
  for (const nsp of namespaces) {
    add(namespaceChannel(prefix, nsp), [nsp]);
    for (const room of rooms) add(roomChannel(prefix, nsp, room), [nsp, room]);
  }
  return channels;
}

function placesOf(channels: ReadonlyMap<string, [string, string?][]>): Places {
  const places = new Places();
  for (const [channel, all] of channels) {
    for (const [nsp, room] of all) {
      places.add(channel, room === undefined ? { nsp } : { nsp, room });
    }
  }
  return places;
}

/** Whether somebody wants to see it. What cannot be read is always shown: it should not be there. */
function isWanted(heard: Heard, { rooms, isOnlyRooms, events }: Watch): boolean {
  if (heard.error !== undefined) return true;
  if (events.length > 0 && !events.some((each) => each(String(heard.event ?? "")))) {
    return false;
  }
  if (!isOnlyRooms) return true;
  const isNamed = (list: readonly unknown[] = []) => list.some((room) => rooms.includes(`${room}`));
  return isNamed(heard.rooms) ||
    (heard.rooms?.length === 0 && !rooms.every((room) => heard.except?.includes(room)));
}

/** What is written. */
class Screen {
  readonly rates: Rates;
  readonly #io: CliIo;
  readonly #isJson: boolean;
  /** How many messages are shown. */
  readonly #max: number | undefined;
  readonly #everySeconds: number | undefined;
  /** Whether the last line is one of rates, which the next one is written over. */
  #hasStatus = false;

  constructor(given: Given, io: CliIo, channels: readonly string[]) {
    this.#io = io;
    this.#isJson = given.has("json");
    this.#max = given.number("count", true);
    this.#everySeconds = given.number("rates", false) ??
      (io.out.isTerminal && !this.#isJson ? 1 : undefined);
    this.rates = new Rates(channels, performance.now());
  }

  /** Whether as much was shown as is wanted. */
  get isFull(): boolean {
    return this.#max !== undefined && this.rates.shown >= this.#max;
  }

  /** Something was heard. */
  show(heard: Heard, isWanted: boolean): void {
    this.rates.heard(heard, isWanted);
    if (!isWanted) return;
    this.#write(this.#isJson ? heardAsJson(heard) : heardAsText(heard, this.#look));
  }

  /** Something about the monitor itself. */
  note(text: string): void {
    this.#clearStatus();
    this.#io.err.write(`${text}\n`);
  }

  /** Tells rates now and then. */
  startRates(incomplete: () => number): () => void {
    if (this.#everySeconds === undefined) return () => {};
    const timer = setInterval(() => {
      const report = this.rates.latest(performance.now(), incomplete());
      if (this.#isJson) return this.#write(jsonLine("rates", report));
      this.#write(ratesAsText(report, this.#look) + (this.#io.out.isTerminal ? "" : "\n"));
      this.#hasStatus = this.#io.out.isTerminal;
    }, this.#everySeconds * 1_000);
    return () => clearInterval(timer);
  }

  /** The last words. */
  finish(incomplete: number): void {
    const report = this.rates.total(performance.now(), incomplete);
    this.#write(
      this.#isJson ? jsonLine("summary", report) : summaryAsText(report, this.#look),
    );
  }

  get #look(): Look {
    const { out, env } = this.#io;
    const width = Number(env.COLUMNS) || out.columns || WIDTH;
    return { width, isColoured: out.isTerminal && !env.NO_COLOR };
  }

  #write(text: string): void {
    this.#clearStatus();
    this.#io.out.write(text);
  }

  #clearStatus(): void {
    if (this.#hasStatus) this.#io.out.write("\r\x1b[K");
    this.#hasStatus = false;
  }
}
