/**
 * Keys of a manifest. The key of `models/a.bin` is `models\0a.bin`: the folder, a NUL, the name. So the
 * children of a folder f are one range (`f\0…`), everything below those another (`f/…`), and a folder comes
 * before all that is in it. Keys are ordered by their UTF-8 bytes. JavaScript orders strings by UTF-16 units,
 * which is another order beyond U+FFFF; therefore a key is a string with one character per UTF-8 *byte*,
 * and `<` on it is the order of bytes.
 */
import { InvalidPathError } from '../errors.js';
import type { Brand } from '../util/brand.js';

/** One character (0 to 255) per byte of `<parent folder>\0<name>` in UTF-8. */
export type Key = Brand<string, 'Key'>;

/** The longest path, in UTF-8 bytes: what Linux takes in one call. A key is as long, or one longer at the root. */
export const MAX_PATH_BYTES = 4096;

const NOT_ASCII = /[^\x00-\x7f]/; // eslint-disable-line no-control-regex
const SEGMENTS = /^[^/\\\0]+(?:\/[^/\\\0]+)*$/;
const DOTS = /(?:^|\/)\.\.?(?:\/|$)/;

/**
 * The key of a path relative to the volume's root, such as `models/a.bin`.
 *
 * @throws InvalidPathError for the empty path, an absolute one, an empty, `.` or `..` segment, a NUL, a backslash, an unpaired surrogate, or over 4096 bytes
 */
export function pathToKey(path: string): Key {
  if (!SEGMENTS.test(path) || DOTS.test(path)) throw new InvalidPathError(path, 'it is not a plain relative path');
  const bytes = toByteString(path);
  if (bytes.length > MAX_PATH_BYTES) throw new InvalidPathError(path, `it has more than ${MAX_PATH_BYTES} bytes`);
  const slash = bytes.lastIndexOf('/');
  return (slash < 0 ? `\0${bytes}` : `${bytes.slice(0, slash)}\0${bytes.slice(slash + 1)}`) as Key;
}

export function keyToPath(key: Key): string {
  const end = key.indexOf('\0');
  const bytes = end === 0 ? key.slice(1) : `${key.slice(0, end)}/${key.slice(end + 1)}`;
  return NOT_ASCII.test(bytes) ? Buffer.from(bytes, 'latin1').toString('utf8') : bytes;
}

/** What the keys of a folder's children start with; '' is the root folder. */
export function childrenPrefix(folder: string): Key {
  return (folder === '' ? '\0' : `${toByteString(folder)}\0`) as Key;
}

/** What the keys of all that lies in a folder's subfolders start with; the root's are all keys. */
export function descendantsPrefix(folder: string): Key {
  return (folder === '' ? '' : `${toByteString(folder)}/`) as Key;
}

/** The least key after `key`. */
export function successor(key: Key): Key {
  return `${key}\0` as Key;
}

/**
 * 32 bits of a key for deciding where nodes end: FNV-1a over its bytes (Fowler, Noll, Vo), stirred with the
 * level by the finalizer of MurmurHash3 (Appleby). Not cryptographic: node sizes are bounded anyhow.
 */
export function hashKey(key: Key, level: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  hash ^= Math.imul(level + 1, 0x9e3779b9);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function toByteString(text: string): string {
  if (!NOT_ASCII.test(text)) return text;
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.toString('utf8') !== text) throw new InvalidPathError(text, 'it has an unpaired surrogate');
  return bytes.toString('latin1');
}
