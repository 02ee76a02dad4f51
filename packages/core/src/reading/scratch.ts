/** Pages that were touched once are fast; fresh ones cost more than what is read into them. */
const IDLE_MS = 10_000;

/** Shared memory of one size that reads use again and again; given up when it has not been used for a while. */
export class ScratchPool {
  readonly slotBytes: number;
  private idle: Uint8Array[] = [];
  private timer: NodeJS.Timeout | undefined;

  constructor(slotBytes: number) {
    this.slotBytes = slotBytes;
  }

  /** `bytes` or more of shared memory with arbitrary content. */
  take(bytes: number): Uint8Array {
    if (bytes > this.slotBytes) return new Uint8Array(new SharedArrayBuffer(bytes));
    return this.idle.pop() ?? new Uint8Array(new SharedArrayBuffer(this.slotBytes));
  }

  give(slot: Uint8Array): void {
    if (slot.byteLength !== this.slotBytes) return;
    this.idle.push(slot);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => (this.idle = []), IDLE_MS).unref();
  }
}
