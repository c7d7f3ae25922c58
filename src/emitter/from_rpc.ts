import { messageOf, PgAdapterError } from "../errors.ts";
import { checkNumber, MAX_MS } from "../options.ts";
import type { Notification } from "../wire/frame.ts";
import type { Transport } from "./transport.ts";

/** Where and how {@linkcode fromRpc} calls. */
export interface RpcOptions {
  /** Where PostgREST is; for Supabase `https://<project>.supabase.co/rest/v1`. */
  url: string | URL;
  /** Headers of each request: for Supabase `apikey` and `authorization`. */
  headers?: Readonly<Record<string, string>> | undefined;
  /**
   * What makes the requests.
   *
   * @default {fetch}
   */
  fetch?: ((url: string, init: RequestInit) => Promise<Response>) | undefined;
  /**
   * The name of the function in the database.
   *
   * @default {"socketio_notify"}
   */
  function?: string | undefined;
  /**
   * The name of the one that also keeps what it sends, for the option `recovery` of an emitter.
   *
   * @default {"socketio_keep"}
   */
  keepFunction?: string | undefined;
  /**
   * Milliseconds for a request.
   *
   * @default {10000}
   */
  timeout?: number | undefined;
}

/** How much of an answer an error quotes. */
const EXCERPT = 500;

/**
 * Sends by HTTP, where there is no TCP: one POST to a function of the database, as PostgREST and Supabase offer it. The
 * function is in the documentation of the emitter.
 *
 * @throws PgAdapterError `INVALID_URI` or `INVALID_OPTION`.
 *
 * @example
 * ```ts
 * import { Emitter, fromRpc } from "@x/socketio-pg/emitter";
 *
 * const key = "the key of the role that may call it";
 * const emitter = new Emitter(fromRpc({
 *   url: "https://project.supabase.co/rest/v1",
 *   headers: { apikey: key, authorization: `Bearer ${key}` },
 * }));
 * ```
 */
export function fromRpc(options: RpcOptions): Transport {
  const { headers = {}, function: name = "socketio_notify", timeout = 10_000 } = options;
  // Called without a receiver: at the edge `fetch` insists on that.
  const request = options.fetch ?? ((url: string, init: RequestInit) => fetch(url, init));
  const sending = endpointOf(options.url, name);
  const keeping = endpointOf(options.url, options.keepFunction ?? "socketio_keep");
  checkNumber("timeout", timeout, 1, MAX_MS, "milliseconds", "transport");

  async function post(endpoint: URL, items: readonly Notification[]): Promise<void> {
    // A query may hold a key, as some gateways want it, which runtimes repeat in their errors.
    const { search } = endpoint;
    const where = `POST ${endpoint.origin}${endpoint.pathname}`;
    let status: number, answer: string;
    try {
      const response = await request(endpoint.href, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: JSON.stringify({ items }),
        // Headers are for this address alone.
        redirect: "manual",
        signal: AbortSignal.timeout(timeout),
      });
      // The function has committed, whatever becomes of the rest.
      if (response.ok) return await discard(response);
      status = response.status;
      answer = await response.text();
    } catch (cause) {
      throw new PgAdapterError(
        "PUBLISH_FAILED",
        `Cannot emit as ${where} failed: ${
          search === "" ? reasonOf(cause) : reasonOf(cause).replaceAll(search, "")
        }`,
        search === "" ? { cause } : undefined,
      );
    }
    throw new PgAdapterError(
      "PUBLISH_FAILED",
      `Cannot emit as ${where} was answered with ${status}: ${
        answer.length > EXCERPT ? `${answer.slice(0, EXCERPT)}…` : answer
      }`,
    );
  }

  return {
    send: (items) => post(sending, items.map(({ channel, payload }) => ({ channel, payload }))),
    keep: (items) => post(keeping, items),
  };
}

/** Node says only "fetch failed", and why in the cause. */
function reasonOf(fault: unknown): string {
  const { cause } = fault instanceof Error ? fault : {};
  return cause instanceof Error ? `${messageOf(fault)}: ${messageOf(cause)}` : messageOf(fault);
}

/** Frees what an answer holds. */
async function discard({ body }: Response): Promise<void> {
  try {
    await body?.cancel();
  } catch (_fault) {
    // It broke off: nothing is left to be freed.
  }
}

function endpointOf(given: string | URL, name: string): URL {
  let url: URL;
  try {
    url = new URL(given);
  } catch (_cause) {
    // Its message repeats the address, and with it a password.
    throw new PgAdapterError("INVALID_URI", "Cannot create transport as its url is no URL");
  }
  if (!/^https?:$/.test(url.protocol) || url.username !== "" || url.password !== "") {
    throw new PgAdapterError(
      "INVALID_URI",
      `Cannot create transport as its url must be one of http or https without a user: give credentials as headers`,
    );
  }
  url.pathname = `${url.pathname.replace(/\/+$/, "")}/rpc/${encodeURIComponent(name)}`;
  return url;
}
