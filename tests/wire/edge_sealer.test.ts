import assert from "node:assert/strict";
import { test } from "node:test";
import { EdgeSealer, type Secret } from "../../src/emitter/sealer.ts";
import { Sealer } from "../../src/runtime/sealer.ts";
import { encodeFrame, MAX_PAYLOAD_BYTES } from "../../src/wire/frame.ts";
import { readVectors } from "./vectors.ts";

interface Sealed {
  name: string;
  channel: string;
  payload: string;
  time: number;
  nonce: string;
  sealed: string;
}

const vectors = readVectors<
  { keys: { secret: Secret; id: string }[]; signed: Sealed[]; encrypted: Sealed[] }
>("seals");

for (const kind of ["signed", "encrypted"] as const) {
  test(`WebCrypto seals as the vectors say: ${kind}`, async () => {
    assert.ok(vectors[kind].length > 2);
    for (const { name, channel, payload, time, nonce, sealed } of vectors[kind]) {
      const keys = vectors.keys.find(({ id }) => sealed.includes(`${id}${time}`));
      assert.ok(keys, name);
      const uid = payload.slice(2, 18);
      const sources = { now: () => time, nonce: () => nonce };
      const sealer = new EdgeSealer(keys.secret, kind === "encrypted", uid, sources);
      const [item] = await sealer.sealAll([{ channel, payload }]);
      assert.deepEqual(item, { channel, payload: sealed }, name);
    }
  });
}

test("an adapter opens what WebCrypto sealed, up to the largest payload, each with a nonce of its own", async () => {
  const secret = "known to all servers of the cluster";
  const uid = "0123456789abcdef";
  const channel = "socket.io:/ü";
  for (const encrypt of [false, true]) {
    const sealer = new EdgeSealer(["first of several", secret].reverse(), encrypt, uid);
    const receiver = new Sealer(secret, encrypt);
    const start = encodeFrame({ kind: "r", uid, sequence: 1 }, "");
    const payload = start + "x".repeat(sealer.maxFrameBytes - start.length);
    const sealed = await sealer.sealAll([{ channel, payload }, { channel, payload }]);
    assert.notEqual(sealed[0]!.payload, sealed[1]!.payload);
    for (const item of sealed) {
      assert.ok(item.payload.length <= MAX_PAYLOAD_BYTES && item.payload.length > 7_990);
      assert.equal(receiver.open(channel, item.payload), payload);
    }
  }
});
