/** Passes items from a producer to one consumer, one at a time: `push` returns when the consumer has taken the item. */
export class Handoff<T> {
  private readonly offers: { item: T; taken: () => void }[] = [];
  private wake: (() => void) | undefined;
  private closed = false;

  /** After `close` items are dropped: nobody takes them any more. */
  push(item: T): Promise<void> {
    if (this.closed) return Promise.resolve();
    return new Promise((taken) => {
      this.offers.push({ item, taken });
      this.wake?.();
    });
  }

  /** Ends the consumer's loop once it has taken what was offered; with `drop`, at once. */
  close(drop = false): void {
    this.closed = true;
    if (drop) for (const offer of this.offers.splice(0)) offer.taken();
    this.wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      const offer = this.offers.shift();
      if (offer !== undefined) {
        offer.taken();
        yield offer.item;
      } else if (this.closed) return;
      else {
        await new Promise<void>((resolve) => (this.wake = resolve));
        this.wake = undefined;
      }
    }
  }
}
