/**
 * NOTIFY and LISTEN of postgres.js without anything around them, in a process of its own: what an adapter would have to
 * beat that sends one notification for each message.
 *
 * @module
 */

import postgres from "postgres";
import { obey, type Usage, usage } from "./child.ts";
import type { Burst } from "./server.ts";
import { text } from "./text.ts";

const CHANNEL = "bare";

let sql: postgres.Sql | undefined;
let count = 0;
let wanted = { count: 0, resolve: () => {} };

/** What it can be told to do. */
export const BARE = {
  async start({ uri, isListening }: { uri: string; isListening: boolean }): Promise<void> {
    sql = postgres(uri, { max: 1, onnotice: () => {} });
    await sql`select 1`;
    if (!isListening) return;
    await sql.listen(CHANNEL, (payload) => {
      JSON.parse(payload);
      if (++count === wanted.count) wanted.resolve();
    });
  },
  async burst({ from, count, size }: Burst): Promise<void> {
    const data = text(size);
    const sent: Promise<unknown>[] = [];
    for (let n = from; n < from + count; n++) {
      sent.push(sql!.notify(CHANNEL, JSON.stringify(["tick", n, data])));
    }
    await Promise.all(sent);
  },
  /** Settles when so many have arrived since the start. */
  arrived(total: number): Promise<void> {
    if (count >= total) return Promise.resolve();
    return new Promise<void>((resolve) => wanted = { count: total, resolve });
  },
  usage: (): Usage => usage(),
};

obey(BARE);
