/**
 * Seals what an emitter sends, by WebCrypto alone, so on every runtime. The layout is that of `src/wire/seal.ts`, and
 * what comes of it is what the adapter's sealer makes.
 */
import { toBase64 } from "../wire/base64.ts";
import type { Notification } from "../wire/frame.ts";
import {
  authenticated,
  encryptedHead,
  isFrame,
  KEY_LABELS,
  keyId,
  MAX_UNSEALED_BYTES,
  NONCE_BYTES,
  type Sealing,
  type Stamp,
  stampPayload,
} from "../wire/seal.ts";

/** A secret: text stands for its bytes in UTF-8. */
export type Secret = string | Uint8Array;

/** What a seal depends on besides its payload. Tests give their own. */
export interface SealSources {
  /** The time in milliseconds since 1970. */
  now(): number;
  /** A new nonce in base64. */
  nonce(): string;
}

/** Not every set of types names it. */
type Key = Awaited<ReturnType<typeof crypto.subtle.importKey>>;

/** The keys of one secret, and of one sender. */
interface Keys {
  readonly id: string;
  readonly signing: Key;
  readonly encryption: Key;
}

/** Bytes as WebCrypto takes them. */
type Bytes = Uint8Array<ArrayBuffer>;

const encoder = new TextEncoder();
const HMAC = { name: "HMAC", hash: "SHA-256" };

/** Seals what one sender sends. */
export class EdgeSealer {
  readonly #secret: Secret;
  readonly #uid: string;
  readonly #encrypt: boolean;
  readonly #sources: SealSources;
  #keys: Promise<Keys> | undefined;

  /**
   * @param secrets One or more: the first seals.
   * @param encrypt Whether frames are encrypted.
   * @param uid The sender of the frames.
   */
  constructor(
    secrets: Secret | readonly Secret[],
    encrypt: boolean,
    uid: string,
    sources: SealSources = { now: Date.now, nonce: newNonce },
  ) {
    const first = typeof secrets === "string" || secrets instanceof Uint8Array
      ? secrets
      : secrets[0]!;
    // A copy: what the application does with its bytes later must not change the key.
    this.#secret = typeof first === "string" ? first : first.slice();
    this.#uid = uid;
    this.#encrypt = encrypt;
    this.#sources = sources;
  }

  /** What it does to frames. */
  get sealing(): Sealing {
    return this.#encrypt ? "encrypted" : "signed";
  }

  /** The most bytes of a frame that it can seal. */
  get maxFrameBytes(): number {
    return MAX_UNSEALED_BYTES[this.sealing];
  }

  /** Seals notifications. Seals hold the time: they are made when their payloads are sent. */
  async sealAll<Item extends Notification>(items: readonly Item[]): Promise<Item[]> {
    const keys = await (this.#keys ??= deriveKeys(this.#secret, this.#uid));
    return await Promise.all(items.map(async (item) => ({
      ...item,
      payload: await this.#seal(keys, item.channel, item.payload),
    })));
  }

  async #seal(keys: Keys, channel: string, payload: string): Promise<string> {
    const stamp: Stamp = {
      key: keys.id,
      time: this.#sources.now(),
      nonce: this.#sources.nonce(),
    };
    if (this.#encrypt && isFrame(payload)) {
      const head = encryptedHead(this.#uid, stamp);
      // The tag is at the end of what it returns.
      const ciphertext = await crypto.subtle.encrypt(
        {
          name: "AES-GCM",
          iv: nonceBytes(stamp.nonce),
          additionalData: bytesOf(authenticated(channel, head)),
        },
        keys.encryption,
        bytesOf(payload),
      );
      return head + toBase64(new Uint8Array(ciphertext));
    }
    const stamped = stampPayload(payload, stamp);
    const mac = await crypto.subtle.sign(
      "HMAC",
      keys.signing,
      bytesOf(authenticated(channel, stamped)),
    );
    return stamped + toBase64(new Uint8Array(mac));
  }
}

async function deriveKeys(secret: Secret, uid: string): Promise<Keys> {
  const bytes = typeof secret === "string" ? bytesOf(secret) : secret;
  const label = bytesOf(KEY_LABELS.root);
  const labelled = new Uint8Array(label.length + bytes.length);
  labelled.set(label);
  labelled.set(bytes, label.length);
  const root = await hmacKey(await crypto.subtle.digest("SHA-256", labelled));
  const derive = (text: string) => crypto.subtle.sign("HMAC", root, bytesOf(text));
  const signing = await derive(KEY_LABELS.signing);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", signing));
  return {
    id: keyId(Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("")),
    signing: await hmacKey(signing),
    encryption: await crypto.subtle.importKey(
      "raw",
      await derive(KEY_LABELS.encryption + uid),
      "AES-GCM",
      false,
      ["encrypt"],
    ),
  };
}

function hmacKey(bytes: ArrayBuffer): Promise<Key> {
  return crypto.subtle.importKey("raw", bytes, HMAC, false, ["sign"]);
}

function bytesOf(text: string): Bytes {
  return encoder.encode(text) as Bytes;
}

function newNonce(): string {
  return toBase64(crypto.getRandomValues(new Uint8Array(NONCE_BYTES)));
}

function nonceBytes(nonce: string): Bytes {
  return Uint8Array.from(atob(nonce), (char) => char.charCodeAt(0));
}
