import { Encoding } from '../encoding/encoding.js';
import type { Decoder } from '../encoding/decoder.js';
import { isCairnError } from '../errors.js';
import type { Hasher } from '../hash/hasher.js';
import { ObjectKind } from '../hash/object-kind.js';
import type { IndexReader } from '../index/reader.js';
import type { Location } from '../index/records.js';
import { checkDigest, damagedObject, decodeObject } from '../objects/verified-object.js';
import type { NodeSource } from '../objects/node-store.js';
import type { PackHandles } from './pack-handles.js';
import type { Piece } from './plan.js';
import { compare } from './read-task.js';
import type { OperationControl } from '../workers/operation-control.js';

/** Chunks that lie closer together than this are read with one call: the bytes between cost less than a call. */
const GAP_BYTES = 16 << 10;
const RUN_BYTES = 1 << 20;

/** A piece and the bytes of its pack that it needs: the chunk as stored, or of a raw one that nobody checks only what is wanted. */
interface Located {
  piece: Piece;
  location: Location;
  start: number;
  end: number;
}

/** Reads little on the main thread, where a worker would cost more than it saves. */
export class SmallReader {
  private readonly index: IndexReader;
  private readonly packs: PackHandles;
  private readonly hasher: Hasher;
  private readonly decoder: Decoder;
  /** Memory for the stored bytes of a run, for the next call to use again. */
  private spare: Uint8Array | undefined;

  constructor(parts: { index: IndexReader; packs: PackHandles; hasher: Hasher; decoder: Decoder }) {
    this.index = parts.index;
    this.packs = parts.packs;
    this.hasher = parts.hasher;
    this.decoder = parts.decoder;
  }

  async read(pieces: Piece[], nodes: NodeSource, verify: boolean, control: OperationControl): Promise<void> {
    const located: Located[] = [];
    for (const piece of pieces) {
      const location = this.index.locate(ObjectKind.chunk, piece.digest);
      if (location === undefined) this.fromNodes(piece, nodes);
      else located.push(place(piece, location, verify));
    }
    located.sort((a, b) => compare(a.location, b.location));
    for (const run of runs(located)) {
      control.check();
      await this.readRun(run, nodes, verify);
    }
  }

  /** What is staged, has moved to another pack, or is damaged: the slow way knows them all, and verifies. */
  private fromNodes(piece: Piece, nodes: NodeSource): void {
    const bytes = nodes.get(ObjectKind.chunk, piece.digest);
    if (bytes.byteLength !== piece.length)
      throw damagedObject(ObjectKind.chunk, piece.digest, `has ${bytes.byteLength} bytes, not ${piece.length}`);
    piece.target.set(bytes.subarray(piece.from, piece.to), piece.at);
  }

  private async readRun(run: Located[], nodes: NodeSource, verify: boolean): Promise<void> {
    const { start, location } = run[0]!;
    const { end } = run.at(-1)!;
    const memory = this.takeMemory(end - start);
    try {
      await this.packs.read(location.pack, start, memory.subarray(0, end - start));
      for (const one of run) this.deliver(one, memory.subarray(one.start - start, one.end - start), verify);
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_DAMAGED')) throw error;
      for (const { piece } of run) this.fromNodes(piece, nodes);
    } finally {
      this.spare = memory;
    }
  }

  private deliver({ piece, location }: Located, stored: Uint8Array, verify: boolean): void {
    const { digest, length, from, to, target, at } = piece;
    if (location.length !== length) throw damagedObject(ObjectKind.chunk, digest, `has ${location.length} bytes, not ${length}`);
    if (location.encoding === Encoding.raw && !verify) return target.set(stored, at);
    const bytes = location.encoding === Encoding.raw ? stored : this.decode(piece, location, stored);
    if (verify) checkDigest(this.hasher, { kind: ObjectKind.chunk, digest }, bytes);
    target.set(bytes.subarray(from, to), at);
  }

  private decode({ digest, length }: Piece, { encoding }: Location, stored: Uint8Array): Uint8Array {
    const bytes = new Uint8Array(length);
    decodeObject(this.decoder, { kind: ObjectKind.chunk, digest }, encoding, stored, bytes);
    return bytes;
  }

  private takeMemory(bytes: number): Uint8Array {
    const spare = this.spare;
    this.spare = undefined;
    return spare !== undefined && spare.byteLength >= bytes ? spare : new Uint8Array(Math.max(bytes, RUN_BYTES));
  }
}

function place(piece: Piece, location: Location, verify: boolean): Located {
  const { offset, storedLength } = location;
  if (verify || location.encoding !== Encoding.raw) return { piece, location, start: offset, end: offset + storedLength };
  return { piece, location, start: offset + piece.from, end: offset + piece.to };
}

/** In disk order, joined where they are neighbours. */
function* runs(located: Located[]): Generator<Located[]> {
  let run: Located[] = [];
  for (const next of located) {
    if (run.length > 0 && !joins(run, next)) {
      yield run;
      run = [];
    }
    run.push(next);
  }
  if (run.length > 0) yield run;
}

function joins(run: Located[], next: Located): boolean {
  const first = run[0]!;
  const last = run.at(-1)!;
  const inOrder = next.location.pack === first.location.pack && next.start >= first.start && next.end >= last.end;
  return inOrder && next.start - last.end <= GAP_BYTES && next.end - first.start <= RUN_BYTES;
}
