import type { KeyRange } from './keys.js';
import type { IndexIdentity, IndexStorage, Item } from './storage.js';

/** Undefined: the key is removed. */
interface Change {
  key: Uint8Array;
  value: Uint8Array | undefined;
}

/**
 * An index as it would be after some changes, which are in memory only: what is looked at is the index below it, and these. For looking
 * at what would come of something, by the code that does it. Whatever is not changed here is seen to change below.
 */
export class ShadowIndex implements IndexStorage {
  private readonly base: IndexStorage;
  private readonly changes = new Map<string, Change>();
  /** The changes by key; undefined: there are new ones. */
  private sorted: Change[] | undefined = [];

  constructor(base: IndexStorage) {
    this.base = base;
  }

  get identity(): IndexIdentity {
    return this.base.identity;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    const change = this.changes.size === 0 ? undefined : this.changes.get(textOf(key));
    return change === undefined ? this.base.get(key) : change.value;
  }

  *items(range: KeyRange, { limit = Infinity, reverse = false }: { limit?: number; reverse?: boolean } = {}): Generator<Item> {
    const changed = this.changesIn(range);
    if (changed.length === 0) {
      yield* this.base.items(range, { reverse, ...(limit === Infinity ? {} : { limit }) });
      return;
    }
    if (reverse) changed.reverse();
    let left = limit;
    for (const item of merged(this.base.items(range, { reverse }), changed, reverse ? -1 : 1)) {
      if (left-- <= 0) return;
      yield item;
    }
  }

  *keys(range: KeyRange): Generator<Uint8Array> {
    for (const { key } of this.items(range)) yield key;
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.change({ key: Uint8Array.from(key), value: Uint8Array.from(value) });
  }

  remove(key: Uint8Array): void {
    this.change({ key: Uint8Array.from(key), value: undefined });
  }

  /** Nobody else changes these. What fails leaves the shadow of no use. */
  transaction(body: () => void): void {
    body();
  }

  assertNotReplaced(): void {
    this.base.assertNotReplaced();
  }

  refresh(): void {
    this.base.refresh();
  }

  checkReaders(): void {
    // whoever writes does
  }

  /** The index below stays open. */
  close(): Promise<void> {
    return Promise.resolve();
  }

  private change(change: Change): void {
    const text = textOf(change.key);
    this.sorted = undefined;
    this.changes.set(text, change);
  }

  private changesIn({ start, end }: KeyRange): Change[] {
    this.sorted ??= [...this.changes.values()].sort((a, b) => Buffer.compare(a.key, b.key));
    return this.sorted.slice(firstFrom(this.sorted, start), firstFrom(this.sorted, end));
  }
}

/** Of two that have the same key the changed one counts. `sign`: 1 for ascending keys, -1 for descending ones. */
function* merged(items: Iterable<Item>, changed: readonly Change[], sign: 1 | -1): Generator<Item> {
  let at = 0;
  for (const item of items) {
    let order = 1;
    for (; at < changed.length; at++) {
      order = sign * Buffer.compare(changed[at]!.key, item.key);
      if (order >= 0) break;
      yield* there(changed[at]!);
      order = 1;
    }
    if (order !== 0) yield item;
  }
  for (; at < changed.length; at++) yield* there(changed[at]!);
}

function* there({ key, value }: Change): Generator<Item> {
  if (value !== undefined) yield { key, value };
}

function firstFrom(sorted: readonly Change[], key: Uint8Array): number {
  let [from, to] = [0, sorted.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (Buffer.compare(sorted[middle]!.key, key) < 0) from = middle + 1;
    else to = middle;
  }
  return from;
}

function textOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
}
