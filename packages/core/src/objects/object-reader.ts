import { Decoder } from '../encoding/decoder.js';
import { isCairnError } from '../errors.js';
import type { Digest } from '../hash/digest.js';
import type { Hasher } from '../hash/hasher.js';
import { objectMapKey, type ObjectKind } from '../hash/object-kind.js';
import type { IndexReader } from '../index/reader.js';
import type { Location } from '../index/records.js';
import type { PackFiles } from '../pack/pack-files.js';
import type { NodeSource } from './node-store.js';
import { checkDigest, damagedObject, decodeObject } from './verified-object.js';

const CACHE_BYTES = 32 << 20;

/** Published objects by digest, verified, with a cache of those read last. For nodes, records and small chunks; used by one thread. */
export class ObjectReader implements NodeSource {
  private readonly index: IndexReader;
  private readonly packs: PackFiles;
  private readonly hasher: Hasher;
  private readonly decoder = new Decoder();
  /** In order of last use. */
  private readonly cache = new Map<string, Uint8Array>();
  private readonly cacheLimitBytes: number;
  private cacheBytes = 0;

  constructor(index: IndexReader, packs: PackFiles, hasher: Hasher, cacheLimitBytes = CACHE_BYTES) {
    this.index = index;
    this.packs = packs;
    this.hasher = hasher;
    this.cacheLimitBytes = cacheLimitBytes;
  }

  /** Whether an object is published, in a pack that may be deduplicated against. */
  has(kind: ObjectKind, digest: Digest): boolean {
    return this.index.packOf(kind, digest) !== undefined;
  }

  get(kind: ObjectKind, digest: Digest): Uint8Array {
    const key = objectMapKey(kind, digest);
    const cached = this.cache.get(key);
    if (cached !== undefined) {
      this.cache.delete(key);
      this.cache.set(key, cached);
      return cached;
    }
    const bytes = this.load(kind, digest);
    this.remember(key, bytes);
    return bytes;
  }

  /** Remembers a published object that the caller has in memory, and never changes, so that it need not be read back. */
  keep(kind: ObjectKind, digest: Digest, bytes: Uint8Array): void {
    const key = objectMapKey(kind, digest);
    if (!this.cache.has(key)) this.remember(key, bytes);
  }

  private load(kind: ObjectKind, digest: Digest): Uint8Array {
    const location = this.index.locate(kind, digest) ?? this.locateAgain(kind, digest);
    if (location === undefined) throw damagedObject(kind, digest, 'is missing');
    try {
      return this.read(kind, digest, location);
    } catch (error) {
      // A collection may have moved the object to another pack since.
      const moved = isCairnError(error, 'CAIRN_DAMAGED') ? this.locateAgain(kind, digest) : undefined;
      if (moved === undefined || (moved.pack === location.pack && moved.offset === location.offset)) throw error;
      return this.read(kind, digest, moved);
    }
  }

  private locateAgain(kind: ObjectKind, digest: Digest): Location | undefined {
    this.index.refresh();
    return this.index.locate(kind, digest);
  }

  private read(kind: ObjectKind, digest: Digest, location: Location): Uint8Array {
    const stored = this.packs.readSync(location.pack, location.offset, location.storedLength);
    const bytes = new Uint8Array(location.length);
    decodeObject(this.decoder, { kind, digest }, location.encoding, stored, bytes);
    checkDigest(this.hasher, { kind, digest }, bytes);
    return bytes;
  }

  private remember(key: string, bytes: Uint8Array): void {
    if (bytes.byteLength > this.cacheLimitBytes) return;
    this.cache.set(key, bytes);
    this.cacheBytes += bytes.byteLength;
    for (const [oldest, dropped] of this.cache) {
      if (this.cacheBytes <= this.cacheLimitBytes) break;
      this.cache.delete(oldest);
      this.cacheBytes -= dropped.byteLength;
    }
  }
}
