import type { Compression, EncodingHint } from './encoding.js';
import { loadZstd, type Zstd } from './zstd.js';

/**
 * zstd levels. Measured on 1 MiB blocks of JavaScript, JSON, Markdown and machine code: level 1 gives
 * 0.20-0.48 at 0.23-0.31 GB/s, level 3 saves 5-15 % more at 0.12-0.23, literals alone (no matches) only
 * 0.38-0.67 and no faster. 9 to 12 is the last step that pays (2-4 %, 20-30 MB/s); 19 runs at 2 MB/s.
 * A frame's window covers its whole object, so matches are as long and as far as an object allows.
 */
const LEVELS = { fast: 1, max: 12 } as const;

/** What is kept is at most this share of the logical length. */
const KEEP_SHARE = 0.97;

/** What a sample must come down to before a whole object is tried. */
const SAMPLE_SHARE: Record<EncodingHint, number> = { float: 0.75, data: 0.97 };

const SAMPLE_SPOTS = 3;
const SPOT_BYTES = 4096;
/** Below this, trying the object itself costs about as much as a sample of it. */
const SAMPLED_FROM_BYTES = 16 * 1024;

/** After this many misses in a row only every `SPARSE_STEP`-th object of that hint is sampled, until one hits. */
const MISSES_TO_SPARSE = 8;
const SPARSE_STEP = 8;

/**
 * Decides per object between zstd and raw, and compresses. Used by one thread; holds native contexts
 * and scratch memory of twice the largest object, so make one and keep it.
 *
 * Incompressible input costs nearly nothing: three spots of 4 KiB are tried first, and after eight misses
 * in a row only every eighth object is sampled, until one hits. The same calls in the same order on
 * a new encoder (or after `startRun`) therefore give the same result.
 */
export class Encoder {
  private readonly engine: Engine | undefined;
  private readonly runs: Record<EncodingHint, { misses: number }> = { float: { misses: 0 }, data: { misses: 0 } };

  constructor(compression: Compression) {
    this.engine = compression === 'none' ? undefined : new Engine(LEVELS[compression]);
  }

  /** Forgets that earlier objects did not compress: worth a call where new content begins, such as at a file's start. */
  startRun(): void {
    this.runs.float.misses = 0;
    this.runs.data.misses = 0;
  }

  /**
   * The object as one zstd frame, a view that is valid until the next call; null means "store it raw".
   * A frame is at most 97 % of the input and was decoded and compared with it. With hint `float` the sample must
   * save a quarter: the noise in trained weights is left to encodings that know the dtype.
   */
  encode(bytes: Uint8Array, hint: EncodingHint): Uint8Array | null {
    if (this.engine === undefined) return null;
    const run = this.runs[hint];
    const sparse = run.misses >= MISSES_TO_SPARSE && (run.misses - MISSES_TO_SPARSE) % SPARSE_STEP !== SPARSE_STEP - 1;
    const frame = sparse ? null : this.attempt(this.engine, bytes, hint);
    run.misses = frame === null ? run.misses + 1 : 0;
    return frame;
  }

  private attempt(engine: Engine, bytes: Uint8Array, hint: EncodingHint): Uint8Array | null {
    const sampled = bytes.byteLength >= SAMPLED_FROM_BYTES;
    if (sampled && engine.sampleShare(bytes) > SAMPLE_SHARE[hint]) return null;
    const frame = engine.compress(bytes);
    const share = sampled ? KEEP_SHARE : Math.min(KEEP_SHARE, SAMPLE_SHARE[hint]);
    return frame.byteLength <= share * bytes.byteLength && engine.decodesTo(frame, bytes) ? frame : null;
  }
}

/** The native contexts and their scratch memory. */
class Engine {
  private readonly zstd: Zstd = loadZstd();
  private readonly compressor: InstanceType<Zstd['CCtx']>;
  private readonly sampler: InstanceType<Zstd['CCtx']>;
  private readonly decompressor: InstanceType<Zstd['DCtx']>;
  private readonly sample = Buffer.allocUnsafeSlow(SAMPLE_SPOTS * SPOT_BYTES);
  private readonly sampleOut: Uint8Array;
  private packed = Buffer.alloc(0);
  private unpacked = Buffer.alloc(0);

  constructor(level: number) {
    const { CCtx, DCtx, CParameter, compressBound } = this.zstd;
    this.compressor = new CCtx();
    this.compressor.setParameter(CParameter.compressionLevel, level);
    this.sampler = new CCtx();
    this.sampler.setParameter(CParameter.compressionLevel, LEVELS.fast);
    this.decompressor = new DCtx();
    this.sampleOut = Buffer.allocUnsafeSlow(compressBound(this.sample.byteLength));
  }

  /** What three spots, an eighth in from both ends and in the middle, come down to. */
  sampleShare(bytes: Uint8Array): number {
    const slack = bytes.byteLength - SPOT_BYTES;
    for (let i = 0; i < SAMPLE_SPOTS; i++) {
      const start = Math.floor((slack * (1 + 3 * i)) / 8);
      this.sample.set(bytes.subarray(start, start + SPOT_BYTES), i * SPOT_BYTES);
    }
    return this.sampler.compress2(this.sampleOut, this.sample) / this.sample.byteLength;
  }

  compress(bytes: Uint8Array): Uint8Array {
    const bound = this.zstd.compressBound(bytes.byteLength);
    if (this.packed.byteLength < bound) this.packed = Buffer.allocUnsafeSlow(bound);
    return this.packed.subarray(0, this.compressor.compress2(this.packed, bytes));
  }

  /** A compressor bug must never reach the disk, so what is kept was read back. */
  decodesTo(frame: Uint8Array, bytes: Uint8Array): boolean {
    if (this.unpacked.byteLength < bytes.byteLength) this.unpacked = Buffer.allocUnsafeSlow(bytes.byteLength);
    const target = this.unpacked.subarray(0, bytes.byteLength);
    try {
      return this.decompressor.decompress(target, frame) === bytes.byteLength && target.equals(bytes);
    } catch {
      return false;
    }
  }
}
