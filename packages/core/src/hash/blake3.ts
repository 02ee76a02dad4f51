import { createRequire } from 'node:module';
import { InvalidArgumentError } from '../errors.js';
import { DIGEST_BYTES, asDigest } from './digest.js';
import type { Hasher, HashImplementation } from './hasher.js';

/** `auto` takes the native addon where it loads and the portable one everywhere else. */
export type HashChoice = 'auto' | HashImplementation;

/** The part of `@napi-rs/blake-hash` that is used. */
interface NativeAddon {
  blake3UrlSafeBase64(input: Uint8Array): string;
}

/** The part of `blake3-wasm` that is used. */
interface PortableModule {
  hash(input: Uint8Array): Uint8Array;
  createHash(): { update(data: Uint8Array): unknown; digest(): Uint8Array };
}

/** Longer inputs are fed in pieces, so that the WASM memory, which never shrinks, stays this small. */
const PORTABLE_PIECE_BYTES = 1 << 20;

const require = createRequire(import.meta.url);

/** One of each per thread: all calls are synchronous, so their scratch memory can be shared. */
const loaded: { native?: Hasher; portable?: Hasher } = {};

/**
 * The hasher of this thread. Both implementations give the same digests; each is checked against published vectors when it
 * is loaded. The environment variable `CAIRN_HASH` (`native` or `portable`) decides in place of `auto`.
 * @throws InvalidArgumentError for an unknown choice, and for `native` where the addon does not load.
 */
export function createHasher(choice: HashChoice = 'auto'): Hasher {
  const wanted = choice === 'auto' ? fromEnvironment() : choice;
  if (wanted === 'portable') return portable();
  if (wanted === 'native') return native();
  if (wanted !== 'auto') throw unknownChoice(`hash implementation '${String(wanted)}'`);
  try {
    return native();
  } catch {
    return portable();
  }
}

function fromEnvironment(): HashChoice {
  const value = process.env['CAIRN_HASH'] ?? '';
  if (value === '' || value === 'auto') return 'auto';
  if (value === 'native' || value === 'portable') return value;
  throw unknownChoice(`CAIRN_HASH='${value}'`);
}

function unknownChoice(what: string): InvalidArgumentError {
  return new InvalidArgumentError(`unknown ${what}`, "choose 'auto', 'native' or 'portable'");
}

function native(): Hasher {
  if (loaded.native !== undefined) return loaded.native;
  try {
    return (loaded.native = checked(nativeHasher(require('@napi-rs/blake-hash') as NativeAddon)));
  } catch (error) {
    throw new InvalidArgumentError(
      `the native hash addon does not load: ${error instanceof Error ? error.message : String(error)}`,
      "install the optional dependency @napi-rs/blake-hash, or choose 'portable' or 'auto'",
    );
  }
}

function portable(): Hasher {
  return (loaded.portable ??= checked(portableHasher(require('blake3-wasm') as PortableModule)));
}

/**
 * The addon's Buffer results are external memory that is freed in a later turn only: 300 bytes a call pile up in a synchronous
 * loop, and each costs 2 microseconds. Its string results have neither cost, and base64 is the shortest.
 */
function nativeHasher(addon: NativeAddon): Hasher {
  const scratch = Buffer.alloc(DIGEST_BYTES);
  const digestInto = (bytes: Uint8Array, target: Uint8Array, offset: number): void => {
    scratch.write(addon.blake3UrlSafeBase64(bytes), 'base64url');
    target.set(scratch, offset);
  };
  return withDigest('native', digestInto);
}

function portableHasher(wasm: PortableModule): Hasher {
  const digestInto = (bytes: Uint8Array, target: Uint8Array, offset: number): void => {
    target.set(bytes.byteLength <= PORTABLE_PIECE_BYTES ? wasm.hash(bytes) : inPieces(wasm, bytes), offset);
  };
  return withDigest('portable', digestInto);
}

/** `digest()` gives the hash's WASM memory back, which no garbage collector would do. */
function inPieces(wasm: PortableModule, bytes: Uint8Array): Uint8Array {
  const hash = wasm.createHash();
  for (let at = 0; at < bytes.byteLength; at += PORTABLE_PIECE_BYTES) hash.update(bytes.subarray(at, at + PORTABLE_PIECE_BYTES));
  return hash.digest();
}

function withDigest(implementation: HashImplementation, digestInto: Hasher['digestInto']): Hasher {
  return {
    implementation,
    digestInto,
    digest(bytes) {
      const digest = new Uint8Array(DIGEST_BYTES);
      digestInto(bytes, digest, 0);
      return asDigest(digest);
    },
  };
}

/** Published BLAKE3 vectors: byte i of the input is i % 251. One block, and enough for every SIMD path. */
const VECTORS = [
  { length: 3, hash: 'e1be4d7a8ab5560aa4199eea339849ba8e293d55ca0a81006726d184519e647f' },
  { length: 102400, hash: 'bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085' },
];

function checked(hasher: Hasher): Hasher {
  for (const { length, hash } of VECTORS) {
    const input = new Uint8Array(length);
    for (let i = 0; i < length; i++) input[i] = i % 251;
    const found = Buffer.from(hasher.digest(input)).toString('hex');
    if (found !== hash) throw new Error(`the ${hasher.implementation} BLAKE3 gives a wrong digest`);
  }
  return hasher;
}
