/** What PostgREST does with `POST /rpc/<function>`, over a real PostgreSQL. */
import { createServer, type IncomingMessage } from "node:http";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import type { Sql } from "postgres";
import { connectSql } from "./sql.ts";
import type { Scope } from "./test.ts";

/** A server that is running. */
export interface PostgRest {
  readonly url: string;
  /** What was requested: method, path, headers. */
  readonly requests: { method: string; path: string; headers: IncomingMessage["headers"] }[];
  /** Answers with this from now on, whatever is asked. */
  answer(status: number, body: string, headers?: Record<string, string>): void;
  /** Does what is asked from now on, and hangs up in the middle of the answer, or stops there. */
  breakOff(how: "end" | "hang"): void;
  /** Answers nothing from now on. */
  hang(): void;
}

/**
 * A function of the documentation, as people install it.
 *
 * @param name `socketio_notify`, or `socketio_keep` for connection state recovery.
 */
export function notifyFunction(name = "socketio_notify"): string {
  const page = readFileSync(new URL("../../docs/emitter.md", import.meta.url), "utf8");
  const text = new RegExp(`\`\`\`sql\n(create or replace function ${name}[^\`]*)\`\`\``);
  const sql = text.exec(page)?.[1];
  if (sql === undefined) throw new Error(`docs/emitter.md has no function ${name}`);
  return sql;
}

/**
 * Starts a server that ends with the test. It calls functions with named arguments, each request in a transaction, and
 * answers as https://docs.postgrest.org/en/stable/references/errors.html says.
 *
 * @param token What requests have to bear.
 */
export async function startPostgRest(t: Scope, uri: string, token: string): Promise<PostgRest> {
  const sql = connectSql(t, uri);
  const requests: PostgRest["requests"] = [];
  let fixed: { status: number; body: string; headers: Record<string, string> } | undefined;
  let isHanging = false;
  let broken: "end" | "hang" | undefined;
  const server = createServer((request, response) => {
    const { method = "", url: path = "", headers } = request;
    requests.push({ method, path, headers });
    let body = "";
    request.setEncoding("utf8").on("data", (text: string) => body += text);
    request.on("end", async () => {
      if (isHanging) return;
      const answer = fixed ??
        (headers.authorization === `Bearer ${token}`
          ? await call(sql, path, body)
          : fault(401, "PGRST301", "No suitable key was found to decode the JWT"));
      if (broken !== undefined) {
        response.writeHead(200, { "content-length": "1000" });
        response.write("[", () => broken === "end" && response.socket?.end());
        return;
      }
      response.writeHead(answer.status, { "content-type": "application/json", ...answer.headers });
      response.end(answer.body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    answer: (status, body, headers = {}) => fixed = { status, body, headers },
    breakOff: (how) => broken = how,
    hang: () => isHanging = true,
  };
}

interface Answer {
  status: number;
  body: string;
  headers?: Record<string, string>;
}

async function call(sql: Sql, path: string, body: string): Promise<Answer> {
  const name = decodeURIComponent(/^\/rpc\/([^/?]+)$/.exec(path)?.[1] ?? "");
  const args = JSON.parse(body) as Record<string, unknown>;
  try {
    const [found] = await sql`
      select proname, pg_get_function_result(oid) as result from pg_proc
      where proname = ${name} and array_to_string(proargnames, ',') = ${Object.keys(args).join()}`;
    if (found === undefined) {
      return fault(
        404,
        "PGRST202",
        `Could not find the function public.${name} in the schema cache`,
      );
    }
    const list = Object.keys(args).map((key, i) => `"${key}" => $${i + 1}::text::jsonb`).join(", ");
    await sql.unsafe(
      `select "${name}"(${list})`,
      Object.values(args).map((value) => JSON.stringify(value)),
    );
    return { status: found["result"] === "void" ? 204 : 200, body: "" };
  } catch (error) {
    const { code, message } = error as Error & { code: string };
    return fault(code === "42501" ? 403 : 400, code, message);
  }
}

function fault(status: number, code: string, message: string): Answer {
  return { status, body: JSON.stringify({ code, details: null, hint: null, message }) };
}
