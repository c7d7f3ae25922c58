/**
 * A handler for `deno serve` and Deno Deploy that emits what is posted to it. It lives as long as its isolate, and so does
 * its emitter: requests share a connection and, under load, statements.
 *
 *     deno serve --allow-net --allow-env main.ts
 *     curl -X POST http://localhost:8000/news/headline -H "authorization: Bearer $TOKEN" -d '{"text":"It works"}'
 */
import process from "node:process";
import { Emitter, PgAdapterError } from "../../src/emitter.ts"; // "@x/socketio-pg/emitter"

const { DATABASE_URL = "postgresql://", PREFIX, TOKEN } = process.env;
const emitter = new Emitter(DATABASE_URL, { prefix: PREFIX });

/** Whose fault it is: what else can happen is an outage. */
const OF_THE_CLIENT = ["BAD_REQUEST", "NOT_ENCODABLE", "PAYLOAD_TOO_LARGE"];

export default {
  async fetch(request: Request): Promise<Response> {
    if (!TOKEN || request.headers.get("authorization") !== `Bearer ${TOKEN}`) {
      return new Response("Unauthorized", { status: 401 });
    }
    const [room, event] = new URL(request.url).pathname.slice(1).split("/");
    if (request.method !== "POST" || !room || !event) {
      return new Response("POST /room/event", { status: 404 });
    }
    try {
      await emitter.to(decodeURIComponent(room)).emit(
        decodeURIComponent(event),
        await request.json(),
      );
      return new Response(null, { status: 202 });
    } catch (error) {
      const code = error instanceof PgAdapterError ? error.code : "BAD_REQUEST";
      return Response.json({ code }, { status: OF_THE_CLIENT.includes(code) ? 400 : 503 });
    }
  },
};
