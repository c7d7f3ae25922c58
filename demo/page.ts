import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { ChildState } from "./child.ts";
import type { Ran } from "./database.ts";
import { type ServerId, SERVERS } from "./events.ts";

/** What the page is told, at its start and after each change. */
export interface Overview {
  name: string;
  database: { version: string; place: string };
  servers: ChildState[];
}

/** What the page's server needs from the demo. */
export interface PageOptions {
  /** The port to try first. */
  port: number;
  overview: () => Overview;
  notify: (statement: string) => Promise<Ran>;
  /** Kills a server's process, or starts it when it is given up on. */
  toggle: (id: ServerId) => void;
}

/** A page that is being served. */
export interface Page {
  port: number;
  /** Tells every open page how things stand. */
  tell(): void;
  close(): Promise<void>;
}

const FILES: Record<string, { file: URL; type: string }> = {
  "/": { file: new URL("./public/index.html", import.meta.url), type: "text/html" },
  "/style.css": { file: new URL("./public/style.css", import.meta.url), type: "text/css" },
  "/app.js": { file: new URL("./public/app.js", import.meta.url), type: "text/javascript" },
  "/socket.io.js": {
    file: new URL("../node_modules/socket.io-client/dist/socket.io.esm.min.js", import.meta.url),
    type: "text/javascript",
  },
};

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self' ws://127.0.0.1:* ws://localhost:*",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** Serves the page on this machine's loopback address only. */
export async function servePage(options: PageOptions): Promise<Page> {
  const listeners = new Set<ServerResponse>();
  const server = createServer((req, res) => {
    respond(req, res).catch((error) => {
      if (!res.headersSent) res.writeHead(500, { "content-type": "text/plain" });
      res.end(String(error));
    });
  });
  const port = await listen(server, options.port);
  const hosts = [`127.0.0.1:${port}`, `localhost:${port}`];

  async function respond(req: IncomingMessage, res: ServerResponse): Promise<void> {
    // Statements run here: neither another site's script nor a rebound name may reach it.
    const { host = "", origin } = req.headers;
    if (!hosts.includes(host) || (origin && !hosts.includes(origin.replace("http://", "")))) {
      return send(res, 403, "text/plain", "only for the demo's own page");
    }
    const { pathname } = new URL(req.url ?? "/", `http://${host}`);
    if (req.method === "GET" && pathname === "/events") return subscribe(res);
    if (req.method === "GET") {
      const found = FILES[pathname];
      if (!found) return send(res, 404, "text/plain", "not found");
      return send(res, 200, `${found.type}; charset=utf-8`, await readFile(found.file));
    }
    // A form of another site cannot send this type without asking first.
    if (req.method !== "POST" || req.headers["content-type"] !== "application/json") {
      return send(res, 405, "text/plain", "not allowed");
    }
    if (pathname === "/notify") {
      const ran = await options.notify(String(await body(req)));
      return send(res, 200, "application/json", JSON.stringify(ran));
    }
    const id = SERVERS.find((id) => pathname === `/servers/${id}`);
    if (!id) return send(res, 404, "text/plain", "not found");
    options.toggle(id);
    send(res, 204, "text/plain", "");
  }

  function subscribe(res: ServerResponse): void {
    res.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    res.write(event(options.overview()));
    listeners.add(res);
    // A page that is gone is no fault.
    res.on("error", () => {});
    res.once("close", () => listeners.delete(res));
  }

  return {
    port,
    tell() {
      for (const res of listeners) res.write(event(options.overview()));
    },
    close() {
      for (const res of listeners) res.end();
      return new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}

function event(overview: Overview): string {
  return `retry: 1000\ndata: ${JSON.stringify(overview)}\n\n`;
}

function send(res: ServerResponse, status: number, type: string, content: string | Buffer): void {
  res.writeHead(status, {
    "content-type": type,
    "cache-control": "no-store",
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
  });
  res.end(content);
}

async function body(req: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of req) {
    size += chunk.length;
    if (size > 100_000) throw new Error("a statement has at most 100 KB");
    chunks.push(chunk);
  }
  return JSON.parse(Buffer.concat(chunks).toString());
}

/** Takes the first free port of the ten from the wished one on, or any. */
async function listen(server: ReturnType<typeof createServer>, wished: number): Promise<number> {
  const ports = Array.from({ length: 10 }, (_, i) => wished + i).filter((port) => port < 65_536);
  for (const port of [...ports, 0]) {
    const error = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
      const failed = (error: NodeJS.ErrnoException) => resolve(error);
      server.once("error", failed);
      server.listen(port, "127.0.0.1", () => {
        server.off("error", failed);
        resolve(undefined);
      });
    });
    if (!error) return (server.address() as AddressInfo).port;
    if (error.code !== "EADDRINUSE" && error.code !== "EACCES") throw error;
  }
  throw new Error(`Cannot serve the page as no port of this machine is free`);
}
