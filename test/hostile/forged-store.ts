import { createHash } from 'node:crypto';
import { openDisk } from '../../packages/core/src/disk/open-disk.js';
import { createHasher } from '../../packages/core/src/hash/blake3.js';
import { digestToHex, type Digest } from '../../packages/core/src/hash/digest.js';
import { ObjectKind } from '../../packages/core/src/hash/object-kind.js';
import { writeKey } from '../../packages/core/src/manifest/key-reader.js';
import type { Key } from '../../packages/core/src/manifest/keys.js';
import type { Totals } from '../../packages/core/src/manifest/node.js';
import { PackShelf } from '../../packages/core/src/pack/pack-shelf.js';
import type { PackId } from '../../packages/core/src/pack/pack-id.js';
import { writePackSync, type PackInput } from '../../packages/core/src/pack/small-pack.js';
import { createStoreFolders } from '../../packages/core/src/pack/store-format.js';
import { StoreLayout } from '../../packages/core/src/pack/store-layout.js';
import { RefJournal } from '../../packages/core/src/refs/journal.js';
import { applyChange, EMPTY_REF_TABLE, type RefChange, type VolumeId } from '../../packages/core/src/refs/ref-table.js';
import { encodeSnapshotRecord } from '../../packages/core/src/snapshot/record.js';
import { ByteWriter } from '../../packages/core/src/util/bytes.js';

const hasher = createHasher('auto');

/** An item of a manifest, with any bytes as its key: one character a byte. */
export interface Item {
  key: string;
  value: Uint8Array;
  totals: Totals;
}

/** What a file of a forged tree refers to. */
export interface Content {
  height: number;
  root: Digest;
  length: number;
}

/**
 * A store made by hand, with the writers of packs and journal but none of the checks that stand before them: what somebody may send
 * who means no good. It has no index: `repairStore` makes one, as for any store from elsewhere.
 */
export class ForgedStore {
  private readonly objects: PackInput[] = [];
  private readonly known = new Set<string>();
  private readonly changes: RefChange[] = [];

  /** Any bytes as an object of a kind, by their right digest. */
  object(
    kind: PackInput['kind'],
    bytes: Uint8Array,
    stored: Pick<PackInput, 'encoding' | 'payload'> = { encoding: 0, payload: bytes },
  ): Digest {
    const digest = hasher.digest(bytes);
    const id = `${kind} ${digestToHex(digest)}`;
    if (!this.known.has(id)) this.objects.push({ kind, digest, length: bytes.byteLength, ...stored });
    this.known.add(id);
    return digest;
  }

  /** A whole small file. */
  text(text: string): Content {
    return { height: 0, root: this.object(ObjectKind.chunk, Buffer.from(text)), length: Buffer.byteLength(text) };
  }

  /** A node of any level whose items come in this order. */
  node(level: number, items: readonly Item[]): Digest {
    const writer = new ByteWriter().u8(1).u8(level);
    let last = '';
    for (const { key, value } of items) {
      writeKey(writer, last, key as Key);
      writer.bytes(value);
      last = key;
    }
    return this.object(ObjectKind.manifestNode, writer.finish());
  }

  /** A volume whose versions have these roots, the oldest first. */
  volume(name: string, roots: readonly (Digest | null)[]): void {
    const volumeId = createHash('md5').update(`${name} ${this.changes.length}`).digest('hex') as VolumeId;
    this.changes.push({ type: 'volume-created', volumeId, name, createdAtMs: 1 });
    let parent: Digest | null = null;
    roots.forEach((root, i) => {
      const record = { volumeId, generation: i + 1, parent, root, createdAtMs: i, newBytes: 0, message: '', metadata: {} };
      parent = this.object(ObjectKind.snapshot, encodeSnapshotRecord(record));
      this.changes.push({ type: 'head', volumeId, generation: i + 1, snapshot: digestToHex(parent), pack: '0'.repeat(32) as PackId });
    });
  }

  /** Any change, also one that no writer makes. */
  change(change: RefChange): void {
    this.changes.push(change);
  }

  async write(dir: string): Promise<void> {
    const disk = await openDisk({ durable: false });
    const layout = new StoreLayout(dir);
    createStoreFolders(disk, layout);
    const { id } = writePackSync(new PackShelf(disk, layout, 'forger', hasher), this.objects);
    const journal = new RefJournal(disk, layout, hasher);
    let table = EMPTY_REF_TABLE;
    this.changes.forEach((change, i) => {
      const real = change.type === 'head' ? { ...change, pack: id } : change;
      table = { ...applyChange(table, real), seq: i + 1 };
      journal.write(i + 1, real, () => table);
    });
  }
}

/** The key of a path as a writer makes it, whatever is in it. */
export function keyOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return Buffer.from(slash < 0 ? `\0${path}` : `${path.slice(0, slash)}\0${path.slice(slash + 1)}`).toString('latin1');
}

const one = (files: number, sizeBytes = 0): Totals => ({ entries: 1, files, sizeBytes });

export function fileAt(key: string, { height, root, length }: Content, kind = 1, mtimeNs = 0n): Item {
  return { key, value: new ByteWriter().u8(kind).i64(mtimeNs).u8(height).bytes(root).varint(length).finish(), totals: one(1, length) };
}

export function folderAt(key: string): Item {
  return { key, value: new ByteWriter().u8(2).i64(0n).finish(), totals: one(0) };
}

export function linkAt(key: string, target: string): Item {
  return { key, value: new ByteWriter().u8(3).i64(0n).text(target).finish(), totals: one(1) };
}

/** What a node says of one below it. */
export function childAt(key: string, digest: Digest, { entries, files, sizeBytes }: Totals): Item {
  const value = new ByteWriter().bytes(digest).varint(entries).varint(files).varint(sizeBytes).finish();
  return { key, value, totals: { entries, files, sizeBytes } };
}

/** Items in the order of their keys, as a reader expects them. */
export function inOrder(items: readonly Item[]): Item[] {
  return [...items].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
}
