/** Waiting for what others bring about: they say that something changed, and who waits looks again. */
export class Changes {
  private readonly waiting = new Set<() => void>();

  changed(): void {
    for (const look of [...this.waiting]) look();
  }

  /** Resolves when `holds`, which is asked now and whenever something changed; rejects when it throws. */
  until(holds: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        try {
          if (!holds()) return;
          resolve();
        } catch (error) {
          reject(error);
        }
        this.waiting.delete(look);
      };
      this.waiting.add(look);
      look();
    });
  }
}
