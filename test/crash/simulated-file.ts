import { createHash } from 'node:crypto';

/** What a device writes as a whole. */
const SECTOR_BYTES = 512;

/** A file's bytes, known by their digest, in which the time has its part. */
export interface Content {
  readonly digest: string;
  readonly bytes: Buffer;
  /** When it was written, where that matters. */
  readonly mtimeNs?: bigint;
}

/** Bytes that were written to a file and may be on the disk, or not; parts of one sector each. */
interface Piece {
  readonly at: number;
  readonly bytes: Buffer;
}

/**
 * What of a file's unsynced writes reached the disk. `length` is told apart: file systems keep a length without the bytes.
 * `lost`: none, as if never written · `zeros`: the length only · `kept`: all · `torn`: the first part of the sectors ·
 * `late`: the last part · `holes`: any, by a number that tells which.
 */
export type Fate = 'lost' | 'zeros' | 'kept' | `torn ${number}` | `late ${number}` | `holes ${number}`;

/** A file of a simulated disk: what is certainly on the disk, and what was written after that. */
export class SimulatedFile {
  /** Changes acknowledged since it was written to last. */
  age = 0;
  private stable: Buffer = Buffer.alloc(0);
  private pieces: Piece[] = [];
  private readonly made = new Map<Fate, Content>();
  /** File systems keep times without the bytes. */
  private readonly mtimeNs: bigint | undefined;

  constructor(mtimeNs?: bigint) {
    this.mtimeNs = mtimeNs;
  }

  /** Whether anything of it could be lost. */
  get isPending(): boolean {
    return this.pieces.length > 0;
  }

  get pendingSectors(): number {
    return this.pieces.length;
  }

  write(bytes: Buffer, at: number): void {
    for (let done = 0; done < bytes.byteLength;) {
      const length = Math.min(bytes.byteLength - done, SECTOR_BYTES - ((at + done) % SECTOR_BYTES));
      this.pieces.push({ at: at + done, bytes: bytes.subarray(done, done + length) });
      done += length;
    }
    this.age = 0;
    this.made.clear();
  }

  /** The first `sectors` pending ones are on the disk for good. */
  settle(sectors = this.pieces.length): void {
    if (sectors === 0) return;
    const last = this.pieces.slice(0, sectors);
    this.stable = apply(this.stable, last, true, () => true);
    this.pieces = this.pieces.slice(sectors);
    this.made.clear();
  }

  /** Another version of a file that is replaced as a whole, in one step that lasts. */
  replace(bytes: Buffer): void {
    this.stable = bytes;
    this.pieces = [];
    this.made.clear();
  }

  content(fate: Fate): Content {
    const known = this.made.get(this.isPending ? fate : 'kept');
    if (known !== undefined) return known;
    const bytes = this.isPending ? this.bytesOf(fate) : this.stable;
    const { mtimeNs } = this;
    const digest = createHash('sha256')
      .update(bytes)
      .update(String(mtimeNs ?? ''))
      .digest('hex')
      .slice(0, 40);
    const content = { digest, bytes, ...(mtimeNs === undefined ? {} : { mtimeNs }) };
    this.made.set(this.isPending ? fate : 'kept', content);
    return content;
  }

  private bytesOf(fate: Fate): Buffer {
    const { stable, pieces } = this;
    const [kind, text] = fate.split(' ');
    const number = Number(text);
    switch (kind) {
      case 'lost':
        return stable;
      case 'zeros':
        return apply(stable, pieces, true, () => false);
      case 'kept':
        return apply(stable, pieces, true, () => true);
      case 'torn':
        return apply(stable, pieces, number % 2 === 0, (i) => i < number);
      case 'late':
        return apply(stable, pieces, true, (i) => i >= number);
      default:
        return apply(stable, pieces, true, (i) => (Math.imul(i + 1, number | 1) >>> 13) % 2 === 0);
    }
  }
}

/** The bytes with some of the pieces written; `whole`: as long as with all of them. */
function apply(stable: Buffer, pieces: readonly Piece[], whole: boolean, kept: (index: number) => boolean): Buffer {
  const end = (piece: Piece): number => piece.at + piece.bytes.byteLength;
  const length = pieces.reduce((max, piece, i) => (whole || kept(i) ? Math.max(max, end(piece)) : max), stable.byteLength);
  const bytes = Buffer.alloc(length);
  stable.copy(bytes);
  for (const [i, piece] of pieces.entries()) if (kept(i)) piece.bytes.copy(bytes, piece.at);
  return bytes;
}

/** The fates worth looking at of a file with so many pending sectors: all that are simple, and `more` by chance. */
export function fatesOf(sectors: number, more: number, random: (limit: number) => number): Fate[] {
  const fates = new Set<Fate>(['kept', 'lost', 'zeros']);
  if (sectors > 1) {
    for (const at of new Set([1, sectors >> 1, sectors - 1])) fates.add(`torn ${at}`).add(`late ${at}`);
    for (let i = 0; i < more; i++) {
      fates.add(`torn ${1 + random(sectors - 1)}`);
      fates.add(`late ${1 + random(sectors - 1)}`);
      fates.add(`holes ${1 + random(2 ** 30)}`);
    }
  }
  return [...fates];
}
