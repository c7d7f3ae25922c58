/**
 * A Cloudflare Worker that emits what is posted to it: over TCP where `DATABASE_URL` is set, over HTTP otherwise. It needs
 * the compatibility flag `nodejs_compat`, which postgres.js is built with.
 *
 *     curl -X POST https://…/news/headline -H "authorization: Bearer $TOKEN" -d '{"text":"It works"}'
 */
import { Emitter, fromRpc, PgAdapterError } from "../../src/emitter.ts"; // "@x/socketio-pg/emitter"

interface Env {
  /** Who may post. */
  TOKEN: string;
  DATABASE_URL?: string;
  /** PostgREST or Supabase, and the key of the role that may call the function. */
  RPC_URL?: string;
  RPC_KEY?: string;
  PREFIX?: string;
  /** The secret of the servers, and "true" if they encrypt. */
  SECRET?: string;
  ENCRYPT?: string;
}

/** Whose fault it is: what else can happen is an outage. */
const OF_THE_CLIENT = ["BAD_REQUEST", "NOT_ENCODABLE", "PAYLOAD_TOO_LARGE"];

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    if (!env.TOKEN || request.headers.get("authorization") !== `Bearer ${env.TOKEN}`) {
      return new Response("Unauthorized", { status: 401 });
    }
    const [room, event] = new URL(request.url).pathname.slice(1).split("/");
    if (request.method !== "POST" || !room || !event) {
      return new Response("POST /room/event", { status: 404 });
    }
    // A connection belongs to the request that opened it: one emitter for each, closed in the end.
    const emitter = new Emitter(targetOf(env), {
      prefix: env.PREFIX,
      secret: env.SECRET,
      encrypt: env.ENCRYPT === "true",
    });
    try {
      await emitter.to(decodeURIComponent(room)).emit(
        decodeURIComponent(event),
        await request.json(),
      );
      return new Response(null, { status: 202 });
    } catch (error) {
      const code = error instanceof PgAdapterError ? error.code : "BAD_REQUEST";
      return Response.json({ code }, { status: OF_THE_CLIENT.includes(code) ? 400 : 503 });
    } finally {
      await emitter.close();
    }
  },
};

function targetOf({ DATABASE_URL, RPC_URL = "", RPC_KEY = "" }: Env) {
  if (DATABASE_URL) return DATABASE_URL;
  return fromRpc({
    url: RPC_URL,
    headers: { apikey: RPC_KEY, authorization: `Bearer ${RPC_KEY}` },
  });
}
