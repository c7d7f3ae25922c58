import assert from "node:assert/strict";
import { pgAdapter, PgAdapterError, type PgAdapterOptions } from "../../mod.ts";
import { Emitter, type EmitterOptions } from "../../src/emitter.ts";
import { test } from "../support/test.ts";

const URI = "postgresql://u@127.0.0.1:1/db";

/** Values that an option must refuse. */
const REFUSED: Record<string, unknown[]> = {
  wire: ["own", "", 1, null, true],
  channelPrefix: [7, null, {}, "nul \0", "x".repeat(62), "ü".repeat(31)],
  tableName: [7, null, "", "a b", "a; drop table b", "a.b.c", '"', '"a', "a-b", "1a", '"nul\0"'],
  payloadThreshold: ["8000", null, 0, 8_001, 1.5],
  cleanupInterval: ["30000", null, 0, -1, 1.5, 2 ** 31],
};

/** The error of making something. */
function refusal(make: () => unknown): PgAdapterError {
  try {
    make();
  } catch (error) {
    assert.ok(error instanceof PgAdapterError, String(error));
    assert.equal(error.code, "INVALID_OPTION");
    return error;
  }
  throw new Error("it should have been refused");
}

test("options of the other wire are checked, and refused without it", () => {
  for (const [name, values] of Object.entries(REFUSED)) {
    for (const value of values) {
      const options = { wire: "official", [name]: value };
      assert.ok(
        refusal(() => pgAdapter(URI, options as PgAdapterOptions)).message.includes(`"${name}"`),
      );
      if (name === "cleanupInterval") continue;
      assert.ok(
        refusal(() => new Emitter(URI, options as EmitterOptions)).message.includes(`"${name}"`),
      );
    }
  }
  for (const options of [{ channelPrefix: "a" }, { tableName: "a" }, { payloadThreshold: 1 }]) {
    refusal(() => pgAdapter(URI, options));
    refusal(() => new Emitter(URI, options));
  }
  refusal(() => pgAdapter(URI, { cleanupInterval: 1_000 }));
  refusal(() => new Emitter(URI, { cleanupInterval: 1_000 } as EmitterOptions));
  refusal(() => new Emitter(URI, { wire: "official", recovery: true }));
});

test("what theirs takes is taken", async () => {
  for (const tableName of ["a", "Schema.Table", '"odd name"."with ""quotes"""', "ümläut_1$"]) {
    const options = { wire: "official", channelPrefix: "", tableName } as const;
    await pgAdapter(URI, { ...options, cleanupInterval: 1, payloadThreshold: 1 }).close();
    await new Emitter(URI, options).close();
  }
});
