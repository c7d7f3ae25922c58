import assert from "node:assert/strict";
import { test } from "node:test";
import { argsOf, decodeMessages, MalformedMessage, MessageType } from "../../src/wire/message.ts";
import { isJsonTooDeep, isTooDeep, MAX_NESTING } from "../../src/wire/nesting.ts";
import { decodePlain } from "../../src/wire/plain.ts";

const arrays = (levels: number) => "[".repeat(levels) + "]".repeat(levels);
const objects = (levels: number) => '{"a":'.repeat(levels) + "1" + "}".repeat(levels);

test("as many levels as are allowed pass, and one more does not", () => {
  for (const nested of [arrays, objects]) {
    for (const [levels, isDeep] of [[MAX_NESTING, false], [MAX_NESTING + 1, true]] as const) {
      const json = nested(levels);
      assert.equal(isJsonTooDeep(json), isDeep);
      assert.equal(isTooDeep(JSON.parse(json)), isDeep);
      assert.equal(isJsonTooDeep(`["[[","\\"[","]\\\\",${json.slice(1)}`), isDeep);
    }
  }
});

test("neighbours are no levels, and brackets in texts are none", () => {
  assert.ok(!isJsonTooDeep(JSON.stringify(Array.from({ length: 5_000 }, () => [[{}]]))));
  assert.ok(
    !isJsonTooDeep(JSON.stringify(["[".repeat(5_000), '"'.repeat(50), "{\\".repeat(5_000)])),
  );
  assert.ok(!isJsonTooDeep(`["${"[".repeat(5_000)}`));
  assert.ok(!isTooDeep(new Uint8Array(5_000)));
});

test("what goes in circles is too deep", () => {
  const circle: unknown[] = [];
  circle.push(circle);
  assert.ok(isTooDeep(circle));
});

test("strangers may not nest more deeply, members of the cluster may", () => {
  const parts = [`["a",${arrays(MAX_NESTING)}]`];
  const type = MessageType.SERVER_SIDE_EMIT;
  assert.throws(() => argsOf({ type, parts }), MalformedMessage);
  assert.equal(argsOf({ type, parts, trusted: true }).length, 2);
  assert.throws(
    () => decodePlain(`{"emit":${parts[0]}}`, { nsp: "/" }),
    /nested more deeply than 1000 levels/,
  );
  const head = `{"t":4,"v":${arrays(MAX_NESTING)}}`;
  const [decode] = decodeMessages(`${head.length},0;${head}`);
  assert.throws(() => decode!(), /nested more deeply/);
});
