/**
 * NOTIFY and LISTEN of postgres.js without anything around them, in a process of its own: what an adapter would have to
 * beat that sends one notification for each message.
 *
 * @module
 */

import postgres from "postgres";
import { obey, type Usage, usage } from "./child.ts";
import type { Burst, Stream } from "./server.ts";
import { steadily } from "./steadily.ts";
import { text } from "./text.ts";

const CHANNEL = "bare";

let sql: postgres.Sql | undefined;
let count = 0;
let latencies: number[] = [];
let wanted = { count: 0, resolve: () => {} };

/** What it can be told to do. */
export const BARE = {
  async start({ uri, isListening }: { uri: string; isListening: boolean }): Promise<void> {
    sql = postgres(uri, { max: 1, onnotice: () => {} });
    await sql`select 1`;
    if (!isListening) return;
    await sql.listen(CHANNEL, (payload) => {
      const [, , at] = JSON.parse(payload);
      latencies.push(performance.timeOrigin + performance.now() - at);
      if (++count === wanted.count) wanted.resolve();
    });
  },
  async burst({ from, count, size }: Burst): Promise<void> {
    const data = text(size);
    const sent: Promise<unknown>[] = [];
    for (let n = from; n < from + count; n++) sent.push(notify(n, data));
    await Promise.all(sent);
  },
  async stream({ from, count, rate, size }: Stream): Promise<void> {
    const data = text(size);
    const sent: Promise<unknown>[] = [];
    await steadily(count, rate, (n) => sent.push(notify(from + n, data)));
    await Promise.all(sent);
  },
  /** Settles when so many have arrived since the start; the milliseconds of those since it was called last. */
  async arrived(total: number): Promise<number[]> {
    if (count < total) await new Promise<void>((resolve) => wanted = { count: total, resolve });
    const found = latencies;
    latencies = [];
    return found;
  },
  usage: (): Usage => usage(),
};

async function notify(n: number, data: string): Promise<void> {
  const at = performance.timeOrigin + performance.now();
  await sql!.notify(CHANNEL, JSON.stringify(["tick", n, at, data]));
}

obey(BARE);
