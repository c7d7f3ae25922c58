/**
 * A script that runs and ends, as cron starts it: tells everybody of a namespace.
 *
 *     0 8 * * * DATABASE_URL=postgresql://… node cron.ts
 */
import process from "node:process";
import { Emitter } from "../../src/emitter.ts"; // "@x/socketio-pg/emitter"

const { DATABASE_URL = "postgresql://", PREFIX } = process.env;
const emitter = new Emitter(DATABASE_URL, { prefix: PREFIX });
try {
  await emitter.of("/news").emit("good morning", { at: new Date() });
} finally {
  await emitter.close();
}
