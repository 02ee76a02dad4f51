import { readFileSync } from 'node:fs';

/** The part of the WebAssembly interface that is used; Node's type declarations leave it out. */
declare const WebAssembly: {
  Memory: new (limits: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { readonly exports: object };
};

const WASM_PAGE_BYTES = 65536;
/** Allocations start on these, so that the system copies whole pages into and out of them. */
export const PAGE_BYTES = 4096;

/**
 * One WebAssembly memory of fixed size which holds all large buffers of a thread: the kernels work on them in place, files are
 * read straight into them, and nothing is allocated, or faulted in, per file. It never grows, so that views on it stay valid.
 *
 * The first page (4096 bytes) belongs to the kernels' constants; the gear table lies at 0..2047.
 */
export class KernelMemory {
  readonly sizeBytes: number;
  private readonly memory: { readonly buffer: ArrayBuffer };
  private used = PAGE_BYTES;

  /** `sizeBytes` is rounded up to 64 KiB. */
  constructor(sizeBytes: number) {
    const pages = Math.ceil(sizeBytes / WASM_PAGE_BYTES);
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    this.sizeBytes = pages * WASM_PAGE_BYTES;
  }

  get buffer(): ArrayBuffer {
    return this.memory.buffer;
  }

  get freeBytes(): number {
    return this.sizeBytes - this.used;
  }

  /**
   * A page-aligned region of exactly `bytes`, zeroed, for the life of the memory: there is no way to give it back.
   * @throws RangeError when what is left is too small.
   */
  allocate(bytes: number): Uint8Array {
    if (bytes > this.freeBytes) throw new RangeError(`kernel memory of ${this.sizeBytes} bytes has no ${bytes} bytes left`);
    const region = new Uint8Array(this.buffer, this.used, bytes);
    this.used = Math.min(this.sizeBytes, this.used + Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES);
    return region;
  }

  /** Whether a kernel can work on `view` without a copy. */
  holds(view: Uint8Array): boolean {
    return view.buffer === this.buffer;
  }

  /** Loads a kernel that imports this memory, and returns its exports. */
  instantiate<Exports extends object>(wasm: URL): Exports {
    return new WebAssembly.Instance(new WebAssembly.Module(readFileSync(wasm)), { env: { memory: this.memory } }).exports as Exports;
  }
}
