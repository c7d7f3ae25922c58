import assert from "node:assert/strict";
import { test } from "node:test";
import { Nonces } from "../../src/runtime/nonces.ts";
import { Sealer, type Secret } from "../../src/runtime/sealer.ts";
import { encodeFrame, isFrameOf, MAX_PAYLOAD_BYTES } from "../../src/wire/frame.ts";
import {
  authenticated,
  encryptedHead,
  isSealed,
  isSequenced,
  KEY_LABELS,
  keyId,
  MAX_UNSEALED_BYTES,
  readEncrypted,
  readSigned,
  Refused,
  SEAL_WINDOW_MS,
  sealedBytes,
  type SealFault,
  type Sealing,
  SIGNATURE_BYTES,
  stampPayload,
} from "../../src/wire/seal.ts";
import { readVectors } from "./vectors.ts";

interface Sealed {
  name: string;
  channel: string;
  payload: string;
  time: number;
  nonce: string;
  sealed: string;
}

interface Vectors {
  keys: {
    secret: Secret;
    root: string;
    signing: string;
    id: string;
    encryption: Record<string, string>;
  }[];
  signed: Sealed[];
  encrypted: Sealed[];
  refused: {
    name: string;
    channel: string;
    sealed: string;
    fault: SealFault;
    encrypt?: boolean;
    now?: number;
  }[];
}

const vectors = readVectors<Vectors>("seals");
const SECRET = vectors.keys[0]!.secret;
const TIME = vectors.signed[0]!.time;
const UID = "0123456789abcdef";
const CHANNEL = "socket.io:/chat";
const FRAME = encodeFrame({ kind: "r", uid: UID, sequence: 5, previous: 4 }, '8,0;{"t":13}');
const EMITTED = encodeFrame({ kind: "r", uid: UID, sequence: 5 }, '8,0;{"t":13}');
const PLAIN = '{"emit":["hello"]}';

let nonceCount = 0;

/** A sealer at a fixed time. */
function sealer(
  { secrets = SECRET, encrypt = false, now = TIME, nonce, nonces }: {
    secrets?: Secret | readonly Secret[];
    encrypt?: boolean;
    now?: number | (() => number);
    nonce?: string;
    nonces?: Nonces;
  } = {},
): Sealer {
  return new Sealer(
    secrets,
    encrypt,
    {
      now: typeof now === "function" ? now : () => now,
      nonce: () => nonce ?? Buffer.from(String(nonceCount++).padStart(12)).toString("base64"),
    },
    nonces,
  );
}

function refuses(open: () => string, fault: SealFault, what?: string): void {
  assert.throws(open, (error) => {
    assert.ok(error instanceof Refused, `${what}: ${error}`);
    assert.equal(error.fault, fault, what);
    return true;
  }, what);
}

test("payloads are sealed and opened as the golden vectors say", () => {
  for (const encrypt of [false, true]) {
    for (
      const { name, channel, payload, time, nonce, sealed } of encrypt
        ? vectors.encrypted
        : vectors.signed
    ) {
      const one = sealer({ encrypt, now: time, nonce });
      assert.equal(one.seal(channel, payload), sealed, name);
      assert.equal(one.open(channel, sealed), payload, name);
      assert.ok(isSealed(sealed), name);
      assert.ok(!isSealed(payload), name);
      assert.equal(
        Buffer.byteLength(sealed),
        sealedBytes(Buffer.byteLength(payload), one.sealing),
        name,
      );
    }
  }
});

test("what is not sealed as it should be is refused as the golden vectors say", () => {
  for (
    const { name, channel, sealed, fault, encrypt = false, now = TIME } of vectors.refused
  ) {
    refuses(() => sealer({ encrypt, now }).open(channel, sealed), fault, name);
  }
});

test("WebCrypto derives the same keys, and signs and encrypts alike", async () => {
  const { subtle } = crypto;
  const utf8 = (text: string) => new TextEncoder().encode(text);
  const hex = (bytes: ArrayBuffer) => Buffer.from(bytes).toString("hex");
  const hmac = async (key: ArrayBuffer, text: string) => {
    const imported = await subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, [
      "sign",
    ]);
    return subtle.sign("HMAC", imported, utf8(text));
  };
  for (const { secret, ...expected } of vectors.keys) {
    const bytes = typeof secret === "string" ? utf8(secret) : secret;
    const root = await subtle.digest(
      "SHA-256",
      new Uint8Array([...utf8(KEY_LABELS.root), ...bytes]),
    );
    const signing = await hmac(root, KEY_LABELS.signing);
    const key = keyId(hex(await subtle.digest("SHA-256", signing)));
    assert.deepEqual([hex(root), hex(signing), key], [
      expected.root,
      expected.signing,
      expected.id,
    ]);
    for (const [uid, encryption] of Object.entries(expected.encryption)) {
      assert.equal(hex(await hmac(root, KEY_LABELS.encryption + uid)), encryption);
    }
    if (secret !== SECRET) continue;
    for (const { name, channel, payload, time, nonce, sealed } of vectors.signed) {
      const stamped = stampPayload(payload, { key, time, nonce });
      const mac = Buffer.from(await hmac(signing, authenticated(channel, stamped)));
      assert.equal(stamped + mac.toString("base64"), sealed, name);
      const read = readSigned(channel, sealed);
      assert.deepEqual(read, {
        key,
        time,
        nonce,
        payload,
        mac: mac.toString("base64"),
        authenticated: authenticated(channel, stamped),
      }, name);
    }
    for (const { name, channel, payload, time, nonce, sealed } of vectors.encrypted) {
      const uid = payload.slice(2, 18);
      const head = encryptedHead(uid, { key, time, nonce });
      const raw = await hmac(root, KEY_LABELS.encryption + uid);
      const imported = await subtle.importKey("raw", raw, "AES-GCM", false, ["encrypt", "decrypt"]);
      const parameters = {
        name: "AES-GCM",
        iv: Buffer.from(nonce, "base64"),
        additionalData: utf8(authenticated(channel, head)),
      };
      const ciphertext = await subtle.encrypt(parameters, imported, utf8(payload));
      assert.equal(head + Buffer.from(ciphertext).toString("base64"), sealed, name);
      const read = readEncrypted(channel, sealed);
      assert.ok(read, name);
      const inner = await subtle.decrypt(
        parameters,
        imported,
        Buffer.from(read.ciphertext, "base64"),
      );
      assert.equal(Buffer.from(inner).toString(), payload, name);
    }
  }
});

test("of a hundred thousand payloads that were tampered with none is accepted", () => {
  // Mulberry32, so that each run is the same.
  let state = 0x5ea1;
  const random = (below: number) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
  const ALPHABET = "0123456789abcdefABCXYZ+/=-_~{}\n é";
  const genuine = [false, true].flatMap((encrypt) =>
    [FRAME, EMITTED, PLAIN].map((payload) => sealer({ encrypt }).seal(CHANNEL, payload))
  );
  const channels = [CHANNEL, "socket.io:/", CHANNEL + "1", ""];
  const receiver = sealer();
  const faults = new Set<SealFault>();
  let accepted = 0, tried = 0;
  while (tried < 100_000) {
    const before = genuine[random(genuine.length)]!;
    let channel = CHANNEL, sealed = before;
    for (let changes = 1 + random(3); changes > 0; changes--) {
      const at = random(sealed.length + 1), other = genuine[random(genuine.length)]!;
      const char = ALPHABET[random(ALPHABET.length)]!;
      switch (random(6)) {
        case 0:
          sealed = sealed.slice(0, at) + char + sealed.slice(at + 1);
          break;
        case 1:
          sealed = sealed.slice(0, at) + sealed.slice(at + 1);
          break;
        case 2:
          sealed = sealed.slice(0, at) + char + sealed.slice(at);
          break;
        case 3:
          sealed = sealed.slice(0, at) + other.slice(at);
          break;
        case 4:
          sealed = sealed.slice(0, -SIGNATURE_BYTES) + other.slice(-SIGNATURE_BYTES);
          break;
        case 5:
          channel = channels[random(channels.length)]!;
          break;
      }
    }
    if (channel === CHANNEL && genuine.includes(sealed)) continue;
    tried++;
    try {
      receiver.open(channel, sealed);
      accepted++;
    } catch (fault) {
      if (!(fault instanceof Refused)) throw fault;
      faults.add(fault.fault);
    }
  }
  assert.equal(accepted, 0);
  assert.deepEqual([...faults].sort(), ["forged", "undecryptable", "unknown-key", "unsigned"]);
  for (const sealed of genuine) receiver.open(CHANNEL, sealed);
});

test("frames show their sender where a process looks for its own", () => {
  for (const encrypt of [false, true]) {
    const sealed = sealer({ encrypt }).seal(CHANNEL, FRAME);
    assert.ok(isFrameOf(UID, sealed));
    assert.ok(!isFrameOf("ffffffffffffffff", sealed));
  }
});

test("an encrypted frame has nothing of its records in clear, a plain message is signed all the same", () => {
  const one = sealer({ encrypt: true });
  assert.doesNotMatch(one.seal(CHANNEL, FRAME), /"t":13|8,0/);
  const sealed = one.seal(CHANNEL, PLAIN);
  assert.ok(sealed.startsWith(PLAIN));
  assert.equal(one.open(CHANNEL, sealed), PLAIN);
});

test("equal payloads are sealed differently, with nonces of their own", () => {
  const one = new Sealer(SECRET);
  const nonces = Array.from({ length: 1_000 }, () => {
    return readSigned(CHANNEL, one.seal(CHANNEL, PLAIN))?.nonce;
  });
  assert.equal(new Set(nonces).size, nonces.length);
  for (const nonce of nonces) assert.match(String(nonce), /^[A-Za-z0-9+/]{16}$/);
});

test("any text comes out as it went in", () => {
  for (const encrypt of [false, true]) {
    for (const body of ["", "\ufeff", "é€🙂\ufeff", "~1", "a=", "x".repeat(5_000), "\u2028\n\r"]) {
      const one = sealer({ encrypt });
      for (const payload of [FRAME + body, EMITTED + body, PLAIN + body]) {
        assert.equal(one.open(CHANNEL, one.seal(CHANNEL, payload)), payload);
      }
    }
  }
});

test("the largest payload that may be sealed is one that NOTIFY takes, whatever its characters are", () => {
  for (const sealing of ["signed", "encrypted"] as Sealing[]) {
    const one = sealer({ encrypt: sealing === "encrypted" });
    const max = one.maxFrameBytes;
    assert.equal(max, MAX_UNSEALED_BYTES[sealing]);
    for (const character of ["x", "é", "🙂"]) {
      const room = max - Buffer.byteLength(FRAME), bytes = Buffer.byteLength(character);
      const payload = FRAME + character.repeat(room / bytes) + "x".repeat(room % bytes);
      assert.equal(Buffer.byteLength(payload), max);
      assert.ok(Buffer.byteLength(one.seal(CHANNEL, payload)) <= MAX_PAYLOAD_BYTES);
      assert.ok(Buffer.byteLength(one.seal(CHANNEL, payload + "x")) > MAX_PAYLOAD_BYTES);
    }
    for (let bytes = Buffer.byteLength(FRAME); bytes < 200; bytes++) {
      const sealed = one.seal(CHANNEL, FRAME.padEnd(bytes, "x"));
      assert.equal(Buffer.byteLength(sealed), sealedBytes(bytes, sealing));
    }
  }
  assert.equal(sealedBytes(1, "none"), 1);
});

test("a secret is replaced step by step, and nothing is refused meanwhile", () => {
  const [before, after] = ["the secret before", "the secret after it"];
  for (const encrypt of [false, true]) {
    const old = sealer({ secrets: before, encrypt });
    const both = sealer({ secrets: [before, after], encrypt });
    const turned = sealer({ secrets: [after, before], encrypt });
    const done = sealer({ secrets: [after], encrypt });
    for (const step of [[old, both], [both, turned], [turned, done]] as const) {
      for (const [from, to] of [step, [step[1], step[0]]] as const) {
        assert.equal(to.open(CHANNEL, from.seal(CHANNEL, FRAME)), FRAME);
      }
    }
    refuses(() => done.open(CHANNEL, old.seal(CHANNEL, FRAME)), "unknown-key");
  }
});

test("a process that only signs reads what others encrypt already", () => {
  assert.equal(sealer().open(CHANNEL, sealer({ encrypt: true }).seal(CHANNEL, FRAME)), FRAME);
});

test("text and its bytes are one secret, and bytes may change afterwards", () => {
  const bytes = new TextEncoder().encode("sécret of 16 bytes");
  const one = sealer({ secrets: bytes });
  bytes.fill(0);
  const other = sealer({ secrets: "sécret of 16 bytes" });
  assert.equal(other.open(CHANNEL, one.seal(CHANNEL, FRAME)), FRAME);
});

test("a seal may be a minute old or ahead, and not more", () => {
  const sealed = sealer().seal(CHANNEL, PLAIN);
  for (const off of [-SEAL_WINDOW_MS, -1, 1, SEAL_WINDOW_MS]) {
    assert.equal(sealer({ now: TIME + off }).open(CHANNEL, sealed), PLAIN);
    const beyond = TIME + off + Math.sign(off) * SEAL_WINDOW_MS;
    refuses(() => sealer({ now: beyond }).open(CHANNEL, sealed), "stale");
  }
  assert.throws(() => sealer({ now: TIME + 90_000 }).open(CHANNEL, sealed), /90 s ago/);
  assert.throws(() => sealer({ now: TIME - 90_000 }).open(CHANNEL, sealed), /90 s ahead/);
});

test("what comes again is refused, for as long as its seal is fresh", () => {
  for (const encrypt of [false, true]) {
    for (const payload of [PLAIN, EMITTED]) {
      let now = TIME;
      const one = sealer({ encrypt, now: () => now });
      const sealed = one.seal(CHANNEL, payload);
      // The sender's clock is ahead by a minute, so that its seal is fresh for two.
      for (now = TIME - SEAL_WINDOW_MS; now <= TIME + SEAL_WINDOW_MS; now += 997) {
        if (now === TIME - SEAL_WINDOW_MS) assert.equal(one.open(CHANNEL, sealed), payload);
        else refuses(() => one.open(CHANNEL, sealed), "replayed");
        one.open(CHANNEL, one.seal(CHANNEL, payload));
      }
      now = TIME + SEAL_WINDOW_MS + 1;
      refuses(() => one.open(CHANNEL, sealed), "stale");
    }
  }
});

test("frames of adapters, which receivers know by their sequence, are not remembered", () => {
  const nonces = new Nonces(SEAL_WINDOW_MS);
  const one = sealer({ nonces });
  const chunk = { kind: "c", uid: UID, sequence: 2, chunk: { index: 0, count: 2 } } as const;
  const probe = encodeFrame({ kind: "p", uid: UID, sequence: 1, previous: 0 }, "");
  for (const payload of [FRAME, probe, encodeFrame({ ...chunk, previous: 1 }, "piece")]) {
    assert.ok(isSequenced(payload), payload);
    const sealed = one.seal(CHANNEL, payload);
    assert.equal(one.open(CHANNEL, sealed), payload);
    assert.equal(one.open(CHANNEL, sealed), payload);
  }
  assert.equal(nonces.size, 0);
  const others = [PLAIN, EMITTED, encodeFrame(chunk, "piece"), `{"${FRAME}":1}`, `2${FRAME}`];
  for (const payload of others) assert.ok(!isSequenced(payload), payload);
});

test("a payload that is refused for another reason is not remembered", () => {
  const nonces = new Nonces(SEAL_WINDOW_MS);
  const one = sealer({ nonces });
  for (const payload of [PLAIN, EMITTED]) {
    for (const encrypt of [false, true]) {
      const sealed = sealer({ encrypt }).seal(CHANNEL, payload);
      assert.throws(() => one.open("another channel", sealed), Refused);
      assert.throws(() => one.open(CHANNEL, sealed.slice(0, -1)), Refused);
    }
  }
  assert.equal(nonces.size, 0);
});

test("under more traffic than is remembered copies are refused, too, and new payloads are not", () => {
  const nonces = new Nonces(SEAL_WINDOW_MS, 100);
  let now = TIME;
  const one = sealer({ now: () => now, nonces });
  const sent: string[] = [];
  for (let i = 0; i < 1_000; i++) {
    now = TIME + i * 50;
    const sealed = one.seal(CHANNEL, PLAIN);
    assert.equal(one.open(CHANNEL, sealed), PLAIN);
    sent.push(sealed);
    assert.ok(nonces.size <= 100);
  }
  const faults = sent.map((sealed) => {
    try {
      one.open(CHANNEL, sealed);
    } catch (fault) {
      if (fault instanceof Refused) return fault.fault;
    }
    return "accepted";
  });
  assert.deepEqual([...new Set(faults)], ["stale", "replayed"]);
  assert.throws(() => one.open(CHANNEL, sent[0]!), /too much traffic/);
});

test("nonces leave memory with the time of their seals, whatever clock they are by", () => {
  const nonces = new Nonces(1_000);
  const nonce = () => Buffer.from(crypto.getRandomValues(new Uint8Array(12))).toString("base64");
  for (let now = TIME; now < TIME + 60_000; now += 100) {
    for (const off of [-1_000, 0, 1_000]) nonces.add(nonce(), now + off, now);
  }
  assert.ok(nonces.size <= 3 * 10 * 4, `${nonces.size} are left`);
});

test("what is refused is not quoted", () => {
  const secret = "sekret-sekret-sekret";
  const payload = '{"emit":["password","sekret"]}';
  const one = sealer({ secrets: secret });
  const sealed = one.seal(CHANNEL, payload);
  for (
    const attempt of [
      () => one.open(CHANNEL, payload),
      () => one.open("other", sealed),
      () => sealer().open(CHANNEL, sealed),
      () => sealer({ secrets: secret, now: 0 }).open(CHANNEL, sealed),
      () => sealer({ secrets: secret, encrypt: true }).open(CHANNEL, one.seal(CHANNEL, FRAME)),
    ]
  ) {
    assert.throws(attempt, (error: Error) => {
      assert.ok(error instanceof Refused);
      assert.doesNotMatch(`${error.message} ${error.stack}`, /sekret|8,0/);
      return true;
    });
  }
});
