/**
 * NestJS with a gateway: what a client says, or what is posted to any of the servers, reaches the clients of all. Node
 * does not run decorators, as Bun does: there it is built first, by `nest build` or esbuild.
 *
 *     PORT=3000 bun main.ts
 *     curl http://localhost:3000/news -H "content-type: application/json" -d '{"text":"It works"}'
 */
import "reflect-metadata";
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
// Nest closes the gateways on SIGTERM then, and they the adapter.
app.enableShutdownHooks();
await app.listen(PORT);
console.log("Listening on", app.getHttpServer().address());
