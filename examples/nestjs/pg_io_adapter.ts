import process from "node:process";
import { IoAdapter } from "@nestjs/platform-socket.io";
import { pgAdapter } from "../../mod.ts"; // "@x/socketio-pg"

type CreateServer = IoAdapter["createIOServer"];

/** Socket.IO as Nest has it, over PostgreSQL. */
export class PgIoAdapter extends IoAdapter {
  /** Called by Nest once for each port that gateways have: each is a server, with an adapter of its own. */
  override createIOServer(...args: Parameters<CreateServer>): ReturnType<CreateServer> {
    const { DATABASE_URL = "postgresql://" } = process.env;
    return super.createIOServer(...args).adapter(pgAdapter(DATABASE_URL));
  }
}
