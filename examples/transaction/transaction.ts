/**
 * Writes rows and tells of them, in one transaction each: clients hear of an order if and only if it is there.
 */
import process from "node:process";
import postgres from "postgres";
import { Emitter } from "../../src/emitter.ts"; // "@x/socketio-pg/emitter"

const { DATABASE_URL = "postgresql://", PREFIX } = process.env;
const sql = postgres(DATABASE_URL, { onnotice: () => {} });

interface Events {
  created: (order: { id: number; item: string }) => void;
}

async function order(item: string): Promise<void> {
  await sql.begin(async (tx) => {
    const [row] = await tx<{ id: number; item: string }[]>`
      insert into orders (item) values (${item}) returning id, item`;
    await new Emitter<Events>(tx, { prefix: PREFIX }).to("orders").emit("created", row!);
    // A constraint that is checked in the end may still refuse it.
  });
}

await sql`create table if not exists orders (
  id int generated always as identity,
  item text unique deferrable initially deferred
)`;
for (const item of ["apples", "apples", "pears"]) {
  try {
    await order(item);
  } catch (error) {
    console.log(`${item}: ${(error as Error).message}`);
  }
}
await sql.end();
