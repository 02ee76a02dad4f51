import { Encoding } from '../encoding/encoding.js';
import { isCairnError } from '../errors.js';
import { ObjectKind } from '../hash/object-kind.js';
import type { IndexReader } from '../index/reader.js';
import type { PackId } from '../pack/pack-id.js';
import type { OperationControl } from '../workers/operation-control.js';
import type { PackHandles } from './pack-handles.js';
import type { Piece } from './plan.js';

/** Below this a read of its own costs the calling thread more than a worker does. */
const MIN_RUN_BYTES = 256 << 10;

/** Bytes that lie in a pack as they are wanted. */
interface Run {
  pieces: Piece[];
  pack: PackId;
  offset: number;
  length: number;
}

/**
 * Reads raw chunks without verification straight to where they are wanted: nothing has to look at the bytes, so the
 * system's own threads fill any memory, without the way to a worker and back. Neighbours are read together.
 *
 * @returns the pieces that have to take the other way.
 */
export async function readRaw(
  index: IndexReader,
  packs: PackHandles,
  pieces: readonly Piece[],
  control: OperationControl,
): Promise<Piece[]> {
  const left: Piece[] = [];
  const runs: Run[] = [];
  for (const piece of pieces) {
    const location = index.locate(ObjectKind.chunk, piece.digest);
    if (location?.encoding !== Encoding.raw || location.length !== piece.length) left.push(piece);
    else join(runs, { pieces: [piece], pack: location.pack, offset: location.offset + piece.from, length: piece.to - piece.from });
  }
  for (const { pieces: joined, pack, offset, length } of runs) {
    if (length < MIN_RUN_BYTES) {
      left.push(...joined);
      continue;
    }
    control.check();
    const { target, at } = joined[0]!;
    try {
      await packs.read(pack, offset, target.subarray(at, at + length));
      control.advance(length);
    } catch (error) {
      // A pack that is gone may have been collected: the other way asks the index again.
      if (!isCairnError(error, 'CAIRN_DAMAGED')) throw error;
      left.push(...joined);
    }
  }
  return left;
}

function join(runs: Run[], next: Run): void {
  const last = runs.at(-1);
  const piece = next.pieces[0]!;
  const isNeighbour = last !== undefined && last.pack === next.pack && last.offset + last.length === next.offset;
  if (isNeighbour && last.pieces[0]!.target === piece.target && last.pieces[0]!.at + last.length === piece.at) {
    last.pieces.push(piece);
    last.length += next.length;
  } else runs.push(next);
}
