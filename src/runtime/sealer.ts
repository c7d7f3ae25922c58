/**
 * Seals and opens payloads, synchronously, so that their order needs no care: with `node:crypto`, which Deno, Bun and
 * Node have. The layout is that of `src/wire/seal.ts`.
 */
import { Buffer } from "node:buffer";
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  timingSafeEqual,
} from "node:crypto";
import {
  authenticated,
  checkTime,
  encryptedHead,
  isEncrypted,
  isFrame,
  isFrameInside,
  isSequenced,
  KEY_LABELS,
  keyId,
  MAX_UNSEALED_BYTES,
  NONCE_BYTES,
  readEncrypted,
  readSigned,
  Refused,
  SEAL_WINDOW_MS,
  type Sealing,
  type Stamp,
  stampPayload,
  TAG_BYTES,
} from "../wire/seal.ts";
import { UID_LENGTH } from "../wire/frame.ts";
import { Nonces } from "./nonces.ts";

/** How many nonces are drawn at once: asking for random bytes costs more than the bytes. */
const NONCES_AT_ONCE = 128;

/** How many senders' keys are kept for each secret; one that is not is derived again. */
const MAX_SENDER_KEYS = 1_024;

/** A secret: text stands for its bytes in UTF-8. */
export type Secret = string | Uint8Array;

/** What a seal depends on besides its payload. Tests give their own. */
export interface SealSources {
  /** The time in milliseconds since 1970. */
  now(): number;
  /** A new nonce in base64. */
  nonce(): string;
}

/** The keys of one secret. */
interface Keys {
  readonly id: string;
  readonly root: Uint8Array;
  readonly signing: Uint8Array;
  readonly bySender: Map<string, Uint8Array>;
}

/** What was sealed, and its seal. */
interface Opened {
  readonly payload: string;
  readonly stamp: Stamp;
}

/** Seals what a process sends, and opens what it receives. */
export class Sealer {
  /** The first signs. */
  readonly #keys: readonly Keys[];
  readonly #encrypt: boolean;
  readonly #sources: SealSources;
  readonly #nonces: Nonces;

  /**
   * @param secrets One or more: the first seals, all open.
   * @param encrypt Whether frames are encrypted, and refused when they are not.
   */
  constructor(
    secrets: Secret | readonly Secret[],
    encrypt = false,
    sources: SealSources = { now: Date.now, nonce: nonceSource() },
    nonces: Nonces = new Nonces(SEAL_WINDOW_MS),
  ) {
    const list = typeof secrets === "string" || secrets instanceof Uint8Array ? [secrets] : secrets;
    this.#keys = list.map(deriveKeys);
    this.#encrypt = encrypt;
    this.#sources = sources;
    this.#nonces = nonces;
  }

  /** What it does to frames. */
  get sealing(): Sealing {
    return this.#encrypt ? "encrypted" : "signed";
  }

  /** The most bytes of a frame that it can seal. */
  get maxFrameBytes(): number {
    return MAX_UNSEALED_BYTES[this.sealing];
  }

  /** Seals a payload for a channel. The seal holds the time: it is made when the payload is sent, each time. */
  seal(channel: string, payload: string): string {
    const keys = this.#keys[0]!;
    const stamp = { key: keys.id, time: this.#sources.now(), nonce: this.#sources.nonce() };
    if (this.#encrypt && isFrame(payload)) return encrypt(keys, channel, payload, stamp);
    const stamped = stampPayload(payload, stamp);
    return stamped + mac(keys, authenticated(channel, stamped));
  }

  /**
   * Opens a payload that came on a channel.
   *
   * @returns What was sealed.
   * @throws Refused when its seal is missing, wrong, old or came before.
   */
  open(channel: string, sealed: string): string {
    const { payload, stamp } = this.#openAny(channel, sealed);
    return this.#admit(stamp, payload);
  }

  /**
   * Opens what was kept for a while, and may be opened again.
   *
   * @returns What was sealed.
   * @throws Refused when its seal is missing or wrong.
   */
  openKept(channel: string, sealed: string): string {
    return this.#openAny(channel, sealed).payload;
  }

  #openAny(channel: string, sealed: string): Opened {
    return isEncrypted(sealed)
      ? this.#openEncrypted(channel, sealed)
      : this.#openSigned(channel, sealed);
  }

  #openSigned(channel: string, sealed: string): Opened {
    const signed = readSigned(channel, sealed);
    if (signed === undefined) throw new Refused("unsigned", "it has no seal");
    const expected = mac(this.#keysOf(signed), signed.authenticated);
    if (!timingSafeEqual(Buffer.from(signed.mac, "latin1"), Buffer.from(expected, "latin1"))) {
      throw new Refused("forged", "its signature is wrong");
    }
    const { payload } = signed;
    if (this.#encrypt && isFrame(payload)) {
      throw new Refused(
        "unencrypted",
        'it is a frame that is signed only: its sender needs "encrypt"',
      );
    }
    return { payload, stamp: signed };
  }

  #openEncrypted(channel: string, sealed: string): Opened {
    const encrypted = readEncrypted(channel, sealed);
    if (encrypted === undefined) throw new Refused("unsigned", "its seal is malformed");
    const keys = this.#keysOf(encrypted);
    const { uid, nonce, ciphertext } = encrypted;
    const bytes = Buffer.from(ciphertext, "base64");
    // Node skips what is no base64; of all texts for these bytes only the one that was sent is right.
    if (bytes.length < TAG_BYTES || bytes.toString("base64") !== ciphertext) {
      throw new Refused("undecryptable", "its ciphertext is no base64");
    }
    const key = senderKey(keys, uid);
    const payload = decrypt(key, nonce, encrypted.authenticated, bytes);
    if (!isFrameInside(uid, payload)) {
      throw new Refused("forged", "what it encrypts is no frame of its sender");
    }
    // Only what is genuine may push out what is kept.
    remember(keys, uid, key);
    return { payload, stamp: encrypted };
  }

  #keysOf({ key }: Stamp): Keys {
    const keys = this.#keys.find(({ id }) => id === key);
    if (keys === undefined) {
      throw new Refused("unknown-key", `its seal names the key ${key}, which is none of ours`);
    }
    return keys;
  }

  /** What is genuine must be fresh and new, too. */
  #admit(stamp: Stamp, payload: string): string {
    const now = this.#sources.now();
    checkTime(stamp, now);
    if (isSequenced(payload)) return payload;
    switch (this.#nonces.add(stamp.nonce, stamp.time, now)) {
      case "known":
        throw new Refused("replayed", "it came before");
      case "forgotten":
        throw new Refused(
          "stale",
          "there was too much traffic since its seal was made to tell whether it came before",
        );
    }
    return payload;
  }
}

function deriveKeys(secret: Secret): Keys {
  const root = createHash("sha256").update(KEY_LABELS.root).update(secret).digest();
  const signing = createHmac("sha256", root).update(KEY_LABELS.signing).digest();
  const id = keyId(createHash("sha256").update(signing).digest("hex"));
  return { id, root, signing, bySender: new Map() };
}

function mac(keys: Keys, text: string): string {
  return createHmac("sha256", keys.signing).update(text).digest("base64");
}

function senderKey({ root, bySender }: Keys, uid: string): Uint8Array {
  return bySender.get(uid) ??
    createHmac("sha256", root).update(KEY_LABELS.encryption).update(uid).digest();
}

function remember({ bySender }: Keys, uid: string, key: Uint8Array): void {
  if (bySender.has(uid)) return;
  bySender.set(uid, key);
  if (bySender.size > MAX_SENDER_KEYS) bySender.delete(bySender.keys().next().value!);
}

function encrypt(keys: Keys, channel: string, frame: string, stamp: Stamp): string {
  const uid = frame.slice(2, 2 + UID_LENGTH);
  const key = senderKey(keys, uid);
  remember(keys, uid, key);
  const head = encryptedHead(uid, stamp);
  const cipher = createCipheriv("aes-256-gcm", key, Buffer.from(stamp.nonce, "base64"));
  cipher.setAAD(Buffer.from(authenticated(channel, head)));
  const bytes = [cipher.update(frame, "utf8"), cipher.final(), cipher.getAuthTag()];
  return head + Buffer.concat(bytes).toString("base64");
}

function decrypt(key: Uint8Array, nonce: string, clear: string, bytes: Uint8Array): string {
  const end = bytes.length - TAG_BYTES;
  const decipher = createDecipheriv("aes-256-gcm", key, Buffer.from(nonce, "base64"), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(Buffer.from(clear));
  decipher.setAuthTag(bytes.subarray(end));
  try {
    const text = decipher.update(bytes.subarray(0, end));
    // Throws when the tag is wrong; before that, nothing is given away.
    return Buffer.concat([text, decipher.final()]).toString("utf8");
  } catch (cause) {
    throw new Refused("undecryptable", "its ciphertext or its channel is not what was sealed", {
      cause,
    });
  }
}

/** Draws nonces. */
function nonceSource(): () => string {
  const pool = Buffer.alloc(NONCE_BYTES * NONCES_AT_ONCE);
  let at = pool.length;
  return () => {
    if (at === pool.length) {
      crypto.getRandomValues(pool);
      at = 0;
    }
    return pool.toString("base64", at, at += NONCE_BYTES);
  };
}
