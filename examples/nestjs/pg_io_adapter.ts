import { IoAdapter } from "@nestjs/platform-socket.io";
import type { Server, ServerOptions } from "socket.io";
import { pgAdapter } from "../../mod.ts"; // "@x/socketio-pg"

/** Socket.IO as Nest has it, over PostgreSQL. */
export class PgIoAdapter extends IoAdapter {
  /** Called by Nest once for each port that gateways have: each is a server, with an adapter of its own. */
  override createIOServer(port: number, options?: ServerOptions): Server {
    const { DATABASE_URL = "postgresql://" } = process.env;
    return super.createIOServer(port, { ...options, adapter: pgAdapter(DATABASE_URL) });
  }
}
