/**
 * Seals: what makes a payload one of a sender who knows the secret, put on at the last moment before it is sent,
 *
 * ```text
 * signed    = payload "~1" key time nonce mac
 * encrypted = "1x" uid key time nonce ciphertext
 * ```
 *
 * This is the layout alone, for any runtime: what is to be hashed or encrypted goes out, and what came of it comes in.
 * All of it is text, of which the cryptography takes the UTF-8.
 */
import { isFrameOf, MAX_PAYLOAD_BYTES, UID_LENGTH, WIRE_VERSION } from "./frame.ts";
import { utf8Length } from "./utf8.ts";

/** How many milliseconds a seal's time and a receiver's clock may differ. */
export const SEAL_WINDOW_MS = 60_000;

/** The least bytes of a secret (and characters, where it is text). */
export const MIN_SECRET_LENGTH = 16;

/** How many random bytes a nonce has: what AES-GCM takes. */
export const NONCE_BYTES = 12;

/** How many bytes of a ciphertext, at its end, are the tag of AES-GCM. */
export const TAG_BYTES = 16;

/** What a trailer starts with: a character that base64 and hexadecimal digits do not have, and the version. */
const MARK = "~1";
const KEY_LENGTH = 8;
const TIME_LENGTH = 13;
const NONCE_LENGTH = NONCE_BYTES / 3 * 4;
const MAC_LENGTH = 44;
const STAMP_LENGTH = KEY_LENGTH + TIME_LENGTH + NONCE_LENGTH;

/** How many bytes a signature adds to a payload. */
export const SIGNATURE_BYTES: number = MARK.length + STAMP_LENGTH + MAC_LENGTH;

/** What the head of an encrypted frame starts with. */
const ENCRYPTED_START = `${WIRE_VERSION}x`;
const CLEAR_LENGTH = ENCRYPTED_START.length + UID_LENGTH + STAMP_LENGTH;

/** What is done to payloads. */
export type Sealing = "none" | "signed" | "encrypted";

/** The most bytes that a payload may have before it is sealed, so that NOTIFY takes it afterwards. */
export const MAX_UNSEALED_BYTES: Readonly<Record<Sealing, number>> = {
  none: MAX_PAYLOAD_BYTES,
  signed: MAX_PAYLOAD_BYTES - SIGNATURE_BYTES,
  // Four characters of base64 are three bytes.
  encrypted: Math.floor((MAX_PAYLOAD_BYTES - CLEAR_LENGTH) / 4) * 3 - TAG_BYTES,
};

/** How many bytes a payload of so many bytes has once it is sealed. */
export function sealedBytes(bytes: number, sealing: Sealing): number {
  if (sealing === "none") return bytes;
  if (sealing === "signed") return bytes + SIGNATURE_BYTES;
  return CLEAR_LENGTH + Math.ceil((bytes + TAG_BYTES) / 3) * 4;
}

/**
 * Why a payload is refused.
 *
 * | fault | when |
 * | --- | --- |
 * | `unsigned` | it has no seal |
 * | `unencrypted` | a frame is only signed where encryption is required |
 * | `unknown-key` | its seal was made with a secret that is none of ours |
 * | `forged` | its signature is wrong: something was changed, or it was meant for another channel |
 * | `undecryptable` | its ciphertext is wrong: something was changed, or it was meant for another channel |
 * | `stale` | its time is too far from our clock's |
 * | `replayed` | it came before |
 */
export type SealFault =
  | "unsigned"
  | "unencrypted"
  | "unknown-key"
  | "forged"
  | "undecryptable"
  | "stale"
  | "replayed";

/** A payload whose seal is missing or wrong. Its message has nothing of the payload. */
export class Refused extends Error {
  /** The name of the class. */
  override readonly name: string = "Refused";
  /** Why, as a word to switch on and to count by. */
  readonly fault: SealFault;

  /** @param because The rest of the sentence "Cannot accept a payload as …". */
  constructor(fault: SealFault, because: string, options?: ErrorOptions) {
    super(`Cannot accept a payload as ${because}`, options);
    this.fault = fault;
  }
}

/**
 * The labels of the keys, each 32 bytes:
 *
 * ```text
 * root       = SHA-256(label.root secret)
 * signing    = HMAC-SHA-256(root, label.signing)
 * encryption = HMAC-SHA-256(root, label.encryption uid)
 * ```
 *
 * Each sender encrypts with a key of its own, so that the number of random nonces under one key stays far below what
 * AES-GCM allows (2^32: NIST SP 800-38D, 8.3).
 */
export const KEY_LABELS: Readonly<Record<"root" | "signing" | "encryption", string>> = {
  root: "socketio-pg seal 1 secret\n",
  signing: "socketio-pg seal 1 sign",
  encryption: "socketio-pg seal 1 encrypt ",
};

/** A key as seals name it: the start of the SHA-256 of the signing key, in hexadecimal digits. */
export function keyId(sha256Hex: string): string {
  return sha256Hex.slice(0, KEY_LENGTH);
}

/** What every seal has. */
export interface Stamp {
  /** Names the secret: see {@linkcode keyId}. */
  key: string;
  /** When the seal was made, in milliseconds since 1970. */
  time: number;
  /** 12 random bytes in base64: no two payloads are equal. */
  nonce: string;
}

/** A seal that was read and is not checked yet. */
export interface SignedPayload extends Stamp {
  /** What was sealed. */
  payload: string;
  /** What the MAC is over. */
  authenticated: string;
  /** The HMAC-SHA-256 in base64, as it came. */
  mac: string;
}

/** An encrypted frame that was read and is not decrypted yet. */
export interface EncryptedPayload extends Stamp {
  uid: string;
  /** What AES-GCM authenticates besides. */
  authenticated: string;
  /** The ciphertext with its tag in base64. */
  ciphertext: string;
}

/** A payload as it is signed, all but the MAC. */
export function stampPayload(payload: string, stamp: Stamp): string {
  return `${payload}${MARK}${encodeStamp(stamp)}`;
}

/** What an encrypted frame has in clear. Its ciphertext, with the tag in base64, follows. */
export function encryptedHead(uid: string, stamp: Stamp): string {
  return `${ENCRYPTED_START}${uid}${encodeStamp(stamp)}`;
}

/**
 * What is authenticated: the channel, so that a payload is worth nothing on another one, and what stands before the MAC
 * or the ciphertext. The channel has its length before it (in bytes, as `octet_length` in SQL), since any character may
 * be in either.
 */
export function authenticated(channel: string, text: string): string {
  return `${utf8Length(channel)}:${channel}${text}`;
}

function encodeStamp({ key, time, nonce }: Stamp): string {
  return `${key}${String(time).padStart(TIME_LENGTH, "0")}${nonce}`;
}

const SIGNATURE = /^~1([0-9a-f]{8})(\d{13})([A-Za-z0-9+/]{16})([A-Za-z0-9+/]{43}=)$/;
const CLEAR = /^1x([0-9a-f]{16})([0-9a-f]{8})(\d{13})([A-Za-z0-9+/]{16})/;

/** Reads a signed payload; none where there is no signature at its end. */
export function readSigned(channel: string, sealed: string): SignedPayload | undefined {
  const match = SIGNATURE.exec(sealed.slice(-SIGNATURE_BYTES));
  if (match === null) return undefined;
  const [, key, time, nonce, mac] = match as unknown as [string, string, string, string, string];
  return {
    key,
    time: Number(time),
    nonce,
    mac,
    payload: sealed.slice(0, -SIGNATURE_BYTES),
    authenticated: authenticated(channel, sealed.slice(0, -MAC_LENGTH)),
  };
}

/** Whether a payload says that it is an encrypted frame. */
export function isEncrypted(payload: string): boolean {
  return payload.startsWith(ENCRYPTED_START);
}

/** Reads an encrypted frame; none where its head is malformed. */
export function readEncrypted(channel: string, sealed: string): EncryptedPayload | undefined {
  const match = CLEAR.exec(sealed);
  if (match === null) return undefined;
  const [head, uid, key, time, nonce] = match as unknown as [
    string,
    string,
    string,
    string,
    string,
  ];
  return {
    uid,
    key,
    time: Number(time),
    nonce,
    ciphertext: sealed.slice(head.length),
    authenticated: authenticated(channel, head),
  };
}

/** Whether a payload looks sealed: what a process without a secret can say of one that it cannot read. */
export function isSealed(payload: string): boolean {
  return isEncrypted(payload) || SIGNATURE.test(payload.slice(-SIGNATURE_BYTES));
}

/** Whether a payload is a frame, which is encrypted where that is required; plain messages cannot be. */
export function isFrame(payload: string): boolean {
  return !payload.startsWith("{");
}

/** Whether a text that was decrypted is a frame of the sender whose key it was encrypted with. */
export function isFrameInside(uid: string, payload: string): boolean {
  return payload.startsWith(WIRE_VERSION) && !isEncrypted(payload) && isFrameOf(uid, payload);
}

/**
 * Whether receivers recognise a payload that comes again by its sequence: frames of adapters. Of all others (plain
 * messages, frames of emitters) they remember the nonces.
 */
export function isSequenced(payload: string): boolean {
  return /^1[a-zA-Z][0-9a-f]{16}\d{1,15}\+?,\d/.test(payload);
}

/**
 * Requires that a seal is fresh.
 *
 * @throws Refused `stale`.
 */
export function checkTime({ time }: Stamp, now: number): void {
  const ahead = time - now;
  if (Math.abs(ahead) <= SEAL_WINDOW_MS) return;
  throw new Refused(
    "stale",
    `its seal is from ${Math.round(Math.abs(ahead) / 1000)} s ${
      ahead < 0 ? "ago" : "ahead"
    } by the clock of this process: at most ${SEAL_WINDOW_MS / 1000} s are allowed`,
  );
}
