import { InvalidArgumentError, InvalidPathError } from '../errors.js';
import { ByteWriter } from '../util/bytes.js';
import type { Entry } from './entry.js';
import { writeKey } from './key-reader.js';
import type { Key } from './keys.js';
import { EntryKind, MANIFEST_NODE_VERSION, MAX_TARGET_BYTES, type ChildRef, type ManifestNode, type Totals } from './node.js';

/** Writes the one node whose items are added, in ascending order of their keys. The layout is drawn in node.ts. */
export class NodeWriter {
  readonly totals: Totals = { entries: 0, files: 0, sizeBytes: 0 };
  count = 0;
  lastKey = '' as Key;
  private readonly level: number;
  private readonly writer = new ByteWriter(1 << 14);

  constructor(level: number) {
    this.level = level;
    this.writer.u8(MANIFEST_NODE_VERSION).u8(level);
  }

  addEntry(key: Key, entry: Entry): void {
    this.addKey(key);
    writeEntry(this.writer, entry);
    this.sum({ entries: 1, files: entry.type === 'directory' ? 0 : 1, sizeBytes: entry.type === 'file' ? entry.content.length : 0 });
  }

  addChild(key: Key, child: ChildRef): void {
    this.addKey(key);
    this.writer.bytes(child.digest).varint(child.entries).varint(child.files).varint(child.sizeBytes);
    this.sum(child);
  }

  /** Takes the items [from, to) over from a node of the same level as they are; at least one. */
  addItems(node: ManifestNode, from: number, to: number): void {
    if (from === 0 || this.lastKey !== node.keys[from - 1]) {
      this.addKey(node.keys[from]!);
      this.writer.bytes(node.value(from));
      if (to > from + 1) this.writer.bytes(node.encodedItems(from + 1, to));
    } else {
      this.writer.bytes(node.encodedItems(from, to));
      this.count++;
    }
    this.count += to - from - 1;
    this.lastKey = node.keys[to - 1]!;
    node.addTotals(this.totals, from, to);
    this.checkTotals();
  }

  finish(): Uint8Array {
    return this.writer.finish();
  }

  private addKey(key: Key): void {
    writeKey(this.writer, this.lastKey, key);
    this.lastKey = key;
    this.count++;
  }

  private sum(item: Totals): void {
    this.totals.entries += item.entries;
    this.totals.files += item.files;
    this.totals.sizeBytes += item.sizeBytes;
    this.checkTotals();
  }

  private checkTotals(): void {
    if (this.totals.sizeBytes > Number.MAX_SAFE_INTEGER) {
      throw new InvalidArgumentError(`a volume of more than 2^53 bytes (level ${this.level})`, 'spread the files over several volumes');
    }
  }
}

function writeEntry(writer: ByteWriter, entry: Entry): void {
  if (BigInt.asIntN(64, entry.mtimeNs) !== entry.mtimeNs) {
    throw new InvalidArgumentError(`modification time ${entry.mtimeNs}`, 'it must fit into 64 bits, in nanoseconds since 1970');
  }
  switch (entry.type) {
    case 'file': {
      const { height, root, length } = entry.content;
      writer
        .u8(entry.executable ? EntryKind.executable : EntryKind.file)
        .i64(entry.mtimeNs)
        .u8(height)
        .bytes(root)
        .varint(length);
      return;
    }
    case 'directory':
      writer.u8(EntryKind.directory).i64(entry.mtimeNs);
      return;
    case 'symlink':
      writer.u8(EntryKind.symlink).i64(entry.mtimeNs).sized(targetBytes(entry.target));
  }
}

function targetBytes(target: string): Uint8Array {
  const bytes = Buffer.from(target, 'utf8');
  if (bytes.byteLength === 0 || bytes.byteLength > MAX_TARGET_BYTES || bytes.includes(0) || bytes.toString('utf8') !== target) {
    throw new InvalidPathError(target, `a symlink's target has 1 to ${MAX_TARGET_BYTES} bytes, no NUL and no unpaired surrogate`);
  }
  return bytes;
}
