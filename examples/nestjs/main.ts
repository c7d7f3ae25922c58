/**
 * NestJS with a gateway: what a client says, and what is posted to any of the servers, reaches the clients of all. Bun
 * and Deno run it as it is; for Node, which has no decorators, it is built first, by `nest build` or esbuild.
 *
 *     PORT=3000 bun main.ts
 *     PORT=3001 deno run --allow-net --allow-env --allow-read --allow-sys main.ts
 *     npx esbuild main.ts --bundle --packages=external --platform=node --format=esm --outfile=main.mjs
 *     PORT=3002 node main.mjs
 *     curl http://localhost:3000/news -H "content-type: application/json" -d '{"text":"It works"}'
 */
import "reflect-metadata";
import process from "node:process";
import { Body, Controller, HttpCode, Inject, Module, Post } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import {
  MessageBody,
  SubscribeMessage,
  WebSocketGateway,
  WebSocketServer,
} from "@nestjs/websockets";
import type { Server } from "socket.io";
import { PgIoAdapter } from "./pg_io_adapter.ts";

@WebSocketGateway()
class NewsGateway {
  @WebSocketServer()
  readonly io!: Server;

  @SubscribeMessage("say")
  say(@MessageBody() text: unknown): void {
    this.io.emit("said", text);
  }
}

@Controller("news")
class NewsController {
  readonly #gateway: NewsGateway;

  constructor(@Inject(NewsGateway) gateway: NewsGateway) {
    this.#gateway = gateway;
  }

  // Who may post is for a guard of yours to say.
  @Post()
  @HttpCode(202)
  post(@Body() news: unknown): void {
    this.#gateway.io.emit("news", news);
  }
}

@Module({ controllers: [NewsController], providers: [NewsGateway] })
class AppModule {}

const { PORT = "3000" } = process.env;

const app = await NestFactory.create(AppModule);
app.useWebSocketAdapter(new PgIoAdapter(app));
// On SIGTERM Nest closes the gateways, and they the adapter, before the process ends.
app.enableShutdownHooks(["SIGTERM"], { useProcessExit: true });
await app.listen(PORT);
console.log("Listening on", app.getHttpServer().address());
process.once("SIGTERM", () => {
  // A browser has connections ready that it has not used yet, which Nest would wait for: all have a second.
  setInterval(() => app.getHttpServer().closeAllConnections(), 1_000).unref();
});
