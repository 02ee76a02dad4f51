import { WasmGearScanner, type GearScanner } from '../chunking/gear.js';
import { KernelMemory } from '../chunking/kernel-memory.js';
import { openDisk } from '../disk/open-disk.js';
import type { Disk } from '../disk/disk.js';
import { Decoder } from '../encoding/decoder.js';
import { Encoder } from '../encoding/encoder.js';
import { createHasher } from '../hash/blake3.js';
import type { Hasher } from '../hash/hasher.js';
import { IndexEnvironment } from '../index/environment.js';
import { IndexReader } from '../index/reader.js';
import { MAX_OBJECT_BYTES } from '../pack/footer.js';
import { PackFiles } from '../pack/pack-files.js';
import { PackShelf } from '../pack/pack-shelf.js';
import { StoreLayout } from '../pack/store-layout.js';
import type { WorkerConfig } from './config.js';
import { Pressure } from './pressure.js';

/** Output of a unit: while one buffer is on its way to the disk, the other fills. Larger ones gain nothing. */
const PACK_BUFFER_BYTES = 4 << 20;
/** Input of the chunker: reads of 1 MiB, and room for the chunk that the last one left unfinished. */
const WINDOW_BYTES = 2 << 20;
/** Largest object of file data: a tensor block. Larger ones are rare enough to be given memory of their own. */
const BLOCK_BYTES = 1 << 20;
const KERNEL_BYTES = 128 << 10;
const MEMORY_BYTES = 2 * PACK_BUFFER_BYTES + WINDOW_BYTES + 2 * BLOCK_BYTES + KERNEL_BYTES;

/**
 * What one worker thread keeps between tasks: its memory, its native contexts and its view of the store. All of it is made
 * on first need, so that a worker that only reads never loads what only writing takes. A worker runs one task at a time.
 */
export class WorkerEnvironment {
  readonly config: WorkerConfig;
  readonly pressure: Pressure;
  private readonly layout: StoreLayout;
  private readonly made: {
    memory?: KernelMemory;
    scanner?: GearScanner;
    hasher?: Hasher;
    encoder?: Encoder;
    decoder?: Decoder;
    index?: IndexReader;
    packs?: PackFiles;
    disk?: Promise<Disk>;
    packBuffers?: [Uint8Array, Uint8Array];
    window?: Uint8Array;
    block?: Uint8Array;
    stored?: Uint8Array;
  } = {};
  private shelf: PackShelf | undefined;

  constructor(config: WorkerConfig) {
    this.config = config;
    this.pressure = new Pressure(config.pressure);
    this.layout = new StoreLayout(config.dir);
  }

  get hasher(): Hasher {
    return (this.made.hasher ??= createHasher(this.config.hash));
  }

  get scanner(): GearScanner {
    return (this.made.scanner ??= new WasmGearScanner(this.memory));
  }

  get encoder(): Encoder {
    return (this.made.encoder ??= new Encoder(this.config.compression));
  }

  get decoder(): Decoder {
    return (this.made.decoder ??= new Decoder());
  }

  get index(): IndexReader {
    return (this.made.index ??= new IndexReader(IndexEnvironment.open(this.layout.indexDir, this.config.index)));
  }

  get packs(): PackFiles {
    return (this.made.packs ??= new PackFiles(this.layout));
  }

  get packBuffers(): readonly [Uint8Array, Uint8Array] {
    return (this.made.packBuffers ??= [this.memory.allocate(PACK_BUFFER_BYTES), this.memory.allocate(PACK_BUFFER_BYTES)]);
  }

  /** Input buffer of the chunker. */
  get window(): Uint8Array {
    return (this.made.window ??= this.memory.allocate(WINDOW_BYTES));
  }

  /** Scratch memory for logical bytes, `length` of it. Valid until the next call. */
  logical(length: number): Uint8Array {
    if (length > BLOCK_BYTES) return new Uint8Array(checkedLength(length));
    return (this.made.block ??= this.memory.allocate(BLOCK_BYTES)).subarray(0, length);
  }

  /** Scratch memory for stored bytes, `length` of it. Valid until the next call. */
  stored(length: number): Uint8Array {
    if (length > BLOCK_BYTES) return new Uint8Array(checkedLength(length));
    return (this.made.stored ??= this.memory.allocate(BLOCK_BYTES)).subarray(0, length);
  }

  /** How this thread writes; a disk of a test's also changes how it reads, so that one is opened before anything is read. */
  disk(): Promise<Disk> {
    return (this.made.disk ??= openDisk(this.config.disk));
  }

  /** Where packs of one lease go. */
  async shelfOf(lease: string): Promise<PackShelf> {
    if (this.shelf?.owner !== lease) this.shelf = new PackShelf(await this.disk(), this.layout, lease, this.hasher);
    return this.shelf;
  }

  /** Makes now what storing will need. */
  prepareToStore(): void {
    void [this.hasher, this.scanner, this.encoder, this.index, this.packBuffers, this.window];
  }

  /** Lets go of the index between tasks: a read transaction that stays open keeps LMDB from reusing pages. */
  rest(): void {
    this.made.index?.refresh();
  }

  private get memory(): KernelMemory {
    return (this.made.memory ??= new KernelMemory(MEMORY_BYTES));
  }
}

function checkedLength(length: number): number {
  if (length > MAX_OBJECT_BYTES) throw new RangeError(`an object of ${length} bytes`);
  return length;
}
