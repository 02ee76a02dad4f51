import { DamageError, InvalidArgumentError } from '../errors.js';
import { asDigest, DIGEST_BYTES, type Digest } from '../hash/digest.js';
import type { VolumeId } from '../refs/ref-table.js';
import { ByteReader, ByteWriter, MalformedError } from '../util/bytes.js';

/*
 * A snapshot record, little-endian; v is a varint (LEB128), text a varint length and UTF-8 bytes:
 *
 *   version:1  flags:1  volumeId:16  generation:v  createdAtMs:v  newBytes:v
 *   parent:32 (flag 1)  root:32 (flag 2)  message:text
 *   count:v  then by ascending key, as bytes compare:  key:text  type:1  (0 string:text | 1 number:8, IEEE 754 | 2 false | 3 true)
 *
 * A record has one encoding only, so its digest identifies it.
 */
const VERSION = 1;
const Flag = { parent: 1, root: 2 } as const;
const Type = { text: 0, number: 1, false: 2, true: 3 } as const;

/** Of a whole record: more than that belongs into a file of the snapshot. */
export const MAX_RECORD_BYTES = 1 << 20;

/** One immutable version of a volume. Its id is the BLAKE3 digest of its encoding. */
export interface SnapshotRecord {
  /** The volume that it was committed to; forks of that volume share it. */
  volumeId: VolumeId;
  generation: number;
  /** The head that it replaced; may have been pruned since. */
  parent: Digest | null;
  /** Of the manifest; null: an empty tree. */
  root: Digest | null;
  createdAtMs: number;
  /** Bytes of this commit in chunks that the store did not have before. */
  newBytes: number;
  message: string;
  metadata: Record<string, string | number | boolean>;
}

/** @throws InvalidArgumentError for metadata of another type, and when the record would be larger than `MAX_RECORD_BYTES`. */
export function encodeSnapshotRecord(record: SnapshotRecord): Uint8Array {
  const flags = (record.parent === null ? 0 : Flag.parent) | (record.root === null ? 0 : Flag.root);
  const writer = new ByteWriter()
    .u8(VERSION)
    .u8(flags)
    .bytes(Buffer.from(record.volumeId, 'hex'))
    .varint(record.generation)
    .varint(record.createdAtMs)
    .varint(record.newBytes);
  if (record.parent !== null) writer.bytes(record.parent);
  if (record.root !== null) writer.bytes(record.root);
  writer.text(record.message);
  const entries = Object.entries(record.metadata)
    .map(([key, value]) => ({ key: Buffer.from(key, 'utf8'), value, name: key }))
    .sort((a, b) => Buffer.compare(a.key, b.key));
  writer.varint(entries.length);
  for (const { key, value, name } of entries) writeValue(writer.sized(key), name, value);
  if (writer.length > MAX_RECORD_BYTES) {
    throw new InvalidArgumentError(
      `message and metadata take ${writer.length} bytes`,
      `keep them below ${MAX_RECORD_BYTES} bytes, and put what is longer into a file`,
    );
  }
  return writer.finish();
}

/** @throws DamageError for bytes that `encodeSnapshotRecord` never makes. */
export function decodeSnapshotRecord(bytes: Uint8Array): SnapshotRecord {
  try {
    return decode(bytes);
  } catch (error) {
    throw new DamageError('a snapshot record is damaged', [{ kind: 'snapshot', id: '', affects: [] }], error);
  }
}

function decode(bytes: Uint8Array): SnapshotRecord {
  if (bytes.byteLength > MAX_RECORD_BYTES) throw new MalformedError('record too long');
  const reader = new ByteReader(bytes);
  if (reader.u8() !== VERSION) throw new MalformedError('unknown version');
  const flags = reader.u8();
  if ((flags & ~(Flag.parent | Flag.root)) !== 0) throw new MalformedError('unknown flags');
  const volumeId = Buffer.from(reader.bytes(16)).toString('hex') as VolumeId;
  const generation = reader.varint();
  const createdAtMs = reader.varint();
  const newBytes = reader.varint();
  const parent = (flags & Flag.parent) === 0 ? null : asDigest(reader.bytes(DIGEST_BYTES).slice());
  const root = (flags & Flag.root) === 0 ? null : asDigest(reader.bytes(DIGEST_BYTES).slice());
  const message = reader.text();
  const metadata: SnapshotRecord['metadata'] = {};
  let last: Uint8Array | undefined;
  for (let left = reader.varint(); left > 0; left--) {
    const start = reader.position;
    const key = reader.sized();
    if (last !== undefined && Buffer.compare(last, key) >= 0) throw new MalformedError('keys out of order');
    last = key;
    reader.position = start;
    const name = reader.text();
    // Not an assignment: '__proto__' is a key like any other.
    Object.defineProperty(metadata, name, { value: readValue(reader), enumerable: true, writable: true, configurable: true });
  }
  reader.end();
  return { volumeId, generation, parent, root, createdAtMs, newBytes, message, metadata };
}

function writeValue(writer: ByteWriter, name: string, value: unknown): void {
  if (typeof value === 'string') writer.u8(Type.text).text(value);
  else if (typeof value === 'boolean') writer.u8(value ? Type.true : Type.false);
  else if (typeof value === 'number' && Number.isFinite(value)) writer.u8(Type.number).bytes(numberBytes(value));
  else
    throw new InvalidArgumentError(
      `metadata '${name}' is no string, finite number or boolean`,
      'write anything else as a string, such as JSON',
    );
}

function readValue(reader: ByteReader): string | number | boolean {
  const type = reader.u8();
  if (type === Type.text) return reader.text();
  if (type === Type.false || type === Type.true) return type === Type.true;
  if (type !== Type.number) throw new MalformedError('unknown type of value');
  const bytes = reader.bytes(8);
  const value = new DataView(bytes.buffer, bytes.byteOffset, 8).getFloat64(0, true);
  if (!Number.isFinite(value) || Object.is(value, -0)) throw new MalformedError('number in another form');
  return value;
}

/** 0 and -0 are one value. */
function numberBytes(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setFloat64(0, value === 0 ? 0 : value, true);
  return bytes;
}
