import { connect, createServer } from "node:net";
import type { Scope } from "./test.ts";

/** What a pooler does to prepared statements, in the extreme: the server never knows the one that is asked for. */
export async function forgetfulProxy(t: Scope, uri: string): Promise<string> {
  const target = new URL(uri);
  const server = createServer((downstream) => {
    const upstream = connect(Number(target.port || 5432), target.hostname);
    let rest: Uint8Array = new Uint8Array();
    let isGreeted = false;
    downstream.on("data", (data) => {
      rest = Buffer.concat([rest, data]);
      for (;;) {
        const view = new DataView(rest.buffer, rest.byteOffset, rest.length);
        const head = isGreeted ? 1 : 0;
        if (rest.length < head + 4) return;
        const length = head + view.getInt32(head);
        if (rest.length < length) return;
        const message = rest.slice(0, length);
        rest = rest.slice(length);
        // Bind: the name of the portal, which is empty, and that of the statement.
        if (isGreeted && message[0] === 66 && message[6] !== 0) message[6] = 33;
        isGreeted = true;
        upstream.write(message);
      }
    });
    upstream.on("data", (data) => downstream.write(data));
    for (const [a, b] of [[downstream, upstream], [upstream, downstream]] as const) {
      a.on("error", () => {});
      a.on("close", () => b.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const proxied = new URL(uri);
  proxied.hostname = "127.0.0.1";
  proxied.port = String((server.address() as { port: number }).port);
  return proxied.href;
}
