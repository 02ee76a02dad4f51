export interface SlotRingOptions {
  /** Default 8. */
  slots?: number;
  /** Default 8 MiB. */
  slotBytes?: number;
}

/** A bounded number of buffers between two stages: whoever wants one waits until the stage behind has given one back. */
export class SlotRing {
  readonly slotBytes: number;
  private readonly limit: number;
  private made = 0;
  private idle: Uint8Array[] = [];
  private waiting: ((slot: Uint8Array) => void)[] = [];

  constructor({ slots = 8, slotBytes = 8 << 20 }: SlotRingOptions = {}) {
    this.limit = slots;
    this.slotBytes = slotBytes;
  }

  /** A slot at once, where one is free. */
  tryTake(): Uint8Array | undefined {
    const slot = this.idle.pop();
    if (slot !== undefined || this.made === this.limit) return slot;
    this.made++;
    // Shared memory is what the store's workers fill directly.
    return new Uint8Array(new SharedArrayBuffer(this.slotBytes));
  }

  /** In the order of the calls. */
  take(): Promise<Uint8Array> {
    const slot = this.tryTake();
    return slot !== undefined ? Promise.resolve(slot) : new Promise((resolve) => this.waiting.push(resolve));
  }

  give(slot: Uint8Array): void {
    const next = this.waiting.shift();
    if (next !== undefined) next(slot);
    else this.idle.push(slot);
  }
}
