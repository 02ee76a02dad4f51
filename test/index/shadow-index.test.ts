import fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import { IndexEnvironment } from '../../packages/core/src/index/environment.js';
import { ShadowIndex } from '../../packages/core/src/index/shadow-index.js';
import type { IndexStorage } from '../../packages/core/src/index/storage.js';
import { tempDir } from '../support/temp-dir.js';

const key = fc.uint8Array({ minLength: 1, maxLength: 2, min: 0, max: 7 }).map((bytes) => Buffer.from(bytes));
const change = fc.record({ key, value: fc.option(fc.uint8Array({ minLength: 1, maxLength: 4 }), { nil: undefined }) });

type Change = { key: Buffer; value: Uint8Array | undefined };

function apply(index: IndexStorage, changes: readonly Change[]): void {
  index.transaction(() => {
    for (const { key, value } of changes) {
      if (value === undefined) index.remove(key);
      else index.put(key, value);
    }
  });
}

/** What a range holds, and the same key by key. */
function seen(index: IndexStorage, range: { start: Buffer; end: Buffer }, options: { limit?: number; reverse?: boolean }): string[] {
  index.refresh();
  return [...index.items(range, options)].map(({ key, value }) => {
    const found = index.get(key)!;
    expect(Buffer.from(found.slice(0, value.length))).toEqual(Buffer.from(value));
    return `${Buffer.from(key).toString('hex')}=${Buffer.from(value).toString('hex')}`;
  });
}

test('a shadow shows, in any range, what its index would if the changes were made there, and leaves that as it is', () => {
  const env = IndexEnvironment.open(tempDir(), { durable: false });
  onTestFinished(() => env.close());
  const all = { start: Buffer.of(0), end: Buffer.of(255) };
  fc.assert(
    fc.property(
      fc.array(change, { maxLength: 20 }),
      fc.array(change, { maxLength: 20 }),
      key,
      key,
      fc.record({ limit: fc.nat({ max: 10 }).map((limit) => limit + 1), reverse: fc.boolean() }, { requiredKeys: [] }),
      (before, changes, start, end, options) => {
        apply(env, before);
        const whole = seen(env, all, {});
        const shadow = new ShadowIndex(env);
        apply(shadow, changes);
        expect(seen(env, all, {})).toEqual(whole);
        const found = [seen(shadow, { start, end }, options), seen(shadow, all, {})];
        const gone = changes.filter(({ key }) => shadow.get(key) === undefined);
        expect([...shadow.keys(all)].length).toBe(found[1]!.length);
        apply(env, changes);
        expect(gone).toEqual(changes.filter(({ key }) => env.get(key) === undefined));
        expect(found).toEqual([seen(env, { start, end }, options), seen(env, all, {})]);
      },
    ),
    { numRuns: 100 },
  );
});
