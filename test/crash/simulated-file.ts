import { createHash } from 'node:crypto';

/** What a device writes as a whole. */
const SECTOR_BYTES = 512;

/** A file's bytes, known by their digest, in which the time has its part. */
export interface Content {
  readonly digest: string;
  readonly bytes: Buffer;
  /** When it was written, where that matters. */
  readonly mtimeNs?: bigint;
  /** Of a symlink: where it leads. */
  readonly target?: string;
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
  /** Grows with each change. */
  version = 0;
  private stable: Buffer = Buffer.alloc(0);
  private pieces: Piece[] = [];
  private edited: { bytes: Buffer; mtimeNs: bigint } | undefined;
  private readonly made = new Map<Fate, Content>();
  /** File systems keep times without the bytes, with the name. */
  private mtimeNs: bigint | undefined;

  /** Whether anything of it could be lost. */
  get isPending(): boolean {
    return this.pieces.length > 0 || this.edited !== undefined;
  }

  /** The fates worth looking at: all that are simple, and `more` by chance. */
  fates(more: number, random: (limit: number) => number): Fate[] {
    return this.edited === undefined ? fatesOf(this.pendingSectors, more, random) : ['kept', 'lost'];
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
    this.changed();
  }

  setTime(mtimeNs: bigint): void {
    this.mtimeNs = mtimeNs;
    this.changed();
  }

  /** Another version, which is there as a whole after a crash, with its time, or not at all. */
  edit(bytes: Buffer, mtimeNs: bigint): void {
    this.settle();
    this.edited = { bytes, mtimeNs };
    this.changed();
  }

  /** The first `sectors` pending ones are on the disk for good. */
  settle(sectors = this.pieces.length): void {
    if (this.edited !== undefined) {
      this.mtimeNs = this.edited.mtimeNs;
      return this.replace(this.edited.bytes);
    }
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
    this.edited = undefined;
    this.made.clear();
  }

  content(fate: Fate): Content {
    const known = this.made.get(this.isPending ? fate : 'kept');
    if (known !== undefined) return known;
    const isEdit = this.edited !== undefined && fate === 'kept';
    const { bytes, mtimeNs }: { bytes: Buffer; mtimeNs?: bigint } = isEdit ? this.edited! : { bytes: this.bytesOf(fate), ...this.time };
    const digest = createHash('sha256')
      .update(bytes)
      .update(String(mtimeNs ?? ''))
      .digest('hex')
      .slice(0, 40);
    const content = { digest, bytes, ...(mtimeNs === undefined ? {} : { mtimeNs }) };
    this.made.set(this.isPending ? fate : 'kept', content);
    return content;
  }

  private get time(): { mtimeNs?: bigint } {
    return this.mtimeNs === undefined ? {} : { mtimeNs: this.mtimeNs };
  }

  private changed(): void {
    this.age = 0;
    this.version++;
    this.made.clear();
  }

  private bytesOf(fate: Fate): Buffer {
    const { stable, pieces } = this;
    if (pieces.length === 0) return stable;
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

function fatesOf(sectors: number, more: number, random: (limit: number) => number): Fate[] {
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
