import { type FSWatcher, watch } from 'node:fs';
import { seqOfName } from './journal-file.js';

/**
 * Hears of new files in the ref journal, whichever process writes them. The operating system may refuse to tell (there are
 * limits) or forget: whoever waits looks for himself now and then.
 */
export class JournalWatcher {
  /** Number of the newest change heard of; the index may not have it yet. */
  newest = 0;
  private watcher: FSWatcher | undefined;
  private wake: (() => void) | undefined;

  constructor(refsDir: string) {
    try {
      this.watcher = watch(refsDir, { persistent: false }, (_event, name) => this.hear(name));
      this.watcher.on('error', () => this.close());
    } catch {
      // Whoever waits looks often enough.
    }
  }

  /** Resolves with the next change, an abort, or after `atMostMs`. Keeps the process alive meanwhile: somebody waits for it. */
  async wait(atMostMs: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.wake = resolve;
      timer = setTimeout(resolve, atMostMs);
      signal.addEventListener('abort', this.wake, { once: true });
    });
    clearTimeout(timer);
    if (this.wake !== undefined) signal.removeEventListener('abort', this.wake);
    this.wake = undefined;
  }

  close(): void {
    this.watcher?.close();
    this.watcher = undefined;
  }

  private hear(name: string | null): void {
    const seq = name === null ? undefined : seqOfName(name);
    if (seq === undefined || seq <= this.newest) return;
    this.newest = seq;
    this.wake?.();
  }
}
