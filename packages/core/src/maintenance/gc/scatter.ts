import fs from 'node:fs';
import type { Location, PackRecord } from '../../index/records.js';
import type { PackId } from '../../pack/pack-id.js';

/** What may lie between two chunks that are read one after the other: that much is read ahead, or passed over, at no cost. */
const SKIPPED_BYTES = 256 << 10;
/** A pack is rewritten where each jump of its readers stands for fewer bytes of it: those that they could read in the time of a jump. */
const BYTES_A_JUMP = 512 << 10;
/** Chunks that begin nearer to each other than this are taken for one: neither the time of a jump nor memory is spent on telling them apart. */
const GRAIN_BYTES = 4096;

/** How a pack has been read so far. */
interface Reading {
  /** A bit for each grain: something that begins there was read. */
  seen: Uint8Array;
  /** Of what was read last; undefined: nothing yet. */
  end: number | undefined;
  jumps: number;
}

/**
 * How far apart the chunks of some packs lie for those who read all newest versions in their order. Of each pack only the order within it
 * counts: that is what a copy of it would put right, whatever is read from others in between. A bit of memory for 4 KiB of the packs.
 */
export class Scatter {
  private readonly readings: Map<PackId, Reading>;

  constructor(packs: readonly PackRecord[]) {
    this.readings = new Map(
      packs.map(({ id, sizeBytes }) => [id, { seen: new Uint8Array(Math.ceil(sizeBytes / GRAIN_BYTES / 8)), end: undefined, jumps: 0 }]),
    );
  }

  /** The next chunk in reading order. One that was read before lies where it had to lie then. */
  read({ pack, offset, storedLength }: Location): void {
    const reading = this.readings.get(pack);
    if (reading === undefined) return;
    const grain = Math.floor(offset / GRAIN_BYTES);
    const [byte, bit] = [grain >> 3, 1 << (grain & 7)];
    if (((reading.seen[byte] ?? 0) & bit) !== 0) return;
    reading.seen[byte] = (reading.seen[byte] ?? 0) | bit;
    const skipped = offset - (reading.end ?? offset);
    if (skipped < 0 || skipped > SKIPPED_BYTES) reading.jumps++;
    reading.end = offset + storedLength;
  }

  jumps(pack: PackId): number {
    return this.readings.get(pack)?.jumps ?? 0;
  }
}

/** Of some packs those that are worth a copy in reading order, the most scattered first, as many as there is room for. */
export function worthReordering(packs: readonly PackRecord[], scatter: Scatter, roomBytes: number): PackRecord[] {
  const jumpsPerByte = ({ id, sizeBytes }: PackRecord): number => scatter.jumps(id) / sizeBytes;
  let left = roomBytes;
  return packs
    .filter((pack) => jumpsPerByte(pack) * BYTES_A_JUMP >= 1)
    .sort((a, b) => jumpsPerByte(b) - jumpsPerByte(a))
    .filter(({ sizeBytes }) => {
      if (sizeBytes > left) return false;
      left -= sizeBytes;
      return true;
    });
}

/** Bytes of copies that a store may hold beside what they are copied from, for a while, so that others can go on committing. */
export function roomForCopies(dir: string, { packBytes, maxBytes }: { packBytes: number; maxBytes: number }): number {
  const { bavail, bsize } = fs.statfsSync(dir);
  return Math.min(maxBytes - packBytes, (bavail * bsize) / 2);
}
