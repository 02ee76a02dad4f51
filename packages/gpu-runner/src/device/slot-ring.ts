export interface SlotRingOptions {
  /** Default 8. */
  slots?: number;
  /** Default 8 MiB. */
  slotBytes?: number;
}

export const DEFAULT_SLOTS = 8;
export const DEFAULT_SLOT_BYTES = 8 << 20;

/** A bounded number of buffers between two stages: whoever wants one waits until the stage behind has given one back. */
export class SlotRing {
  readonly slotBytes: number;
  private readonly limit: number;
  private readonly make: (number: number) => Uint8Array;
  private made = 0;
  private idle: Uint8Array[] = [];
  private waiting: ((slot: Uint8Array) => void)[] = [];

  /** @param make gives slot number N when it is first needed. Shared memory is what the store's workers fill directly. */
  constructor(
    { slots = DEFAULT_SLOTS, slotBytes = DEFAULT_SLOT_BYTES }: SlotRingOptions = {},
    make = (_number: number): Uint8Array => new Uint8Array(new SharedArrayBuffer(slotBytes)),
  ) {
    this.limit = slots;
    this.slotBytes = slotBytes;
    this.make = make;
  }

  /** A slot at once, where one is free. */
  tryTake(): Uint8Array | undefined {
    const slot = this.idle.pop();
    if (slot !== undefined || this.made === this.limit) return slot;
    return this.make(this.made++);
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
