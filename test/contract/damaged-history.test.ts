import { openStore, type Store } from '@cairn/core';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { damageObject, damageTreeOf } from '../support/damage-object.js';
import { tempDir } from '../support/temp-dir.js';
import { codeOf, collect, contents } from './support.js';

const DAY_MS = 86_400_000;
const START = Date.parse('2026-01-30T12:00:00.000Z');

/** A closed store with five commits, one a day, to the volume `v`, and a whole volume beside it. */
async function fiveDays(): Promise<{ dir: string; ids: string[] }> {
  const dir = join(tempDir(), 'store');
  let day = 0;
  const store = await openStore(dir, { workers: 1, clock: () => new Date(START + day * DAY_MS) });
  const volume = await store.volumes.fromName('v', { createIfMissing: true });
  const ids: string[] = [];
  for (; day < 5; day++) {
    await volume.writeFile('a', String(day));
    await volume.writeFile(`d/${day}`, String(day));
    ids.push((await volume.commit({ message: `day ${day}` })).snapshot.id);
  }
  const whole = await store.volumes.fromName('whole', { createIfMissing: true });
  await whole.writeFile('kept', 'x');
  await whole.commit();
  await store.close();
  return { dir, ids };
}

async function opened(dir: string): Promise<{ store: Store; warnings: string[] }> {
  const warnings: string[] = [];
  const ignore = (): void => {};
  const logger = { debug: ignore, info: ignore, warn: (text: string) => warnings.push(text), error: ignore };
  const store = await openStore(dir, { workers: 1, logger });
  onTestFinished(() => store.close());
  return { store, warnings };
}

const messages = async (history: AsyncIterable<{ message: string }>): Promise<string[]> =>
  (await collect(history)).map(({ message }) => message);

describe('a volume whose newest snapshot is damaged', () => {
  test.each([
    ['its record', damageObject],
    ['its tree', damageTreeOf],
  ])('(%s) is listed as damaged, and hides no other volume', async (what, damage) => {
    const { dir, ids } = await fiveDays();
    damage(dir, ids[4]!);
    const { store } = await opened(dir);
    const [v, whole, ...none] = await store.volumes.list();
    expect(none).toEqual([]);
    expect(v).toMatchObject({ name: 'v', head: ids[4], generation: 5, files: null, size: null, damaged: true });
    expect(v!.updatedAt).toEqual(what === 'its tree' ? new Date(START + 4 * DAY_MS) : null);
    expect(whole).toMatchObject({ name: 'whole', files: 1, size: 1, damaged: false });
    expect(await store.volumes.info('v')).toEqual(v);
  });

  test('opens for all that does not need that snapshot: history, older snapshots, diffs, tags, forks', async () => {
    const { dir, ids } = await fiveDays();
    damageObject(dir, ids[4]!);
    const { store, warnings } = await opened(dir);
    const volume = await store.volumes.fromName('v');
    expect(await messages(volume.history())).toEqual(['day 3', 'day 2', 'day 1', 'day 0']);
    expect(warnings).toEqual([expect.stringMatching(new RegExp(`${ids[4]!.slice(0, 12)} .*'v'.* digest`))]);
    expect(await (await volume.snapshot('HEAD~1')).readFile('a', 'utf8')).toBe('3');
    expect((await collect(volume.diff('HEAD~2', 'HEAD~1'))).map(({ path }) => path).sort()).toEqual(['a', 'd/3']);
    await volume.tag('last-whole', 'HEAD~1');
    await store.volumes.fork('v', 'saved', { at: 'last-whole' });
    const saved = await store.volumes.fromName('saved');
    await saved.writeFile('a', 'goes on');
    await saved.commit();
    expect((await contents(saved))['a']).toBe('goes on');
    await volume.close();
  });

  test('refuses with a DamageError what needs it, and never looks empty', async () => {
    const { dir, ids } = await fiveDays();
    damageObject(dir, ids[4]!);
    const { store } = await opened(dir);
    const volume = await store.volumes.fromName('v');
    const calls: (() => unknown)[] = [
      () => volume.base,
      () => volume.listdir(''),
      () => volume.readFile('a'),
      () => volume.exists('a'),
      () => collect(volume.createReadStream('a')),
      () => volume.open('a'),
      () => volume.writeFile('b', 'x'),
      () => volume.mkdir('b'),
      () => volume.remove('a'),
      () => volume.commit({ message: 'over it' }),
      () => volume.rollback('HEAD~1'),
      () => volume.reload(),
      () => volume.batchUpload((batch) => batch.putFile({ data: 'x' }, 'b')),
      () => volume.snapshot(),
      () => volume.snapshot(ids[4]),
    ];
    for (const call of calls) expect([String(call), await codeOf(call)]).toEqual([String(call), 'CAIRN_DAMAGED']);
    expect(volume.dirty).toBe(false);
  });
});

describe('a damaged older snapshot', () => {
  test.each([
    ['its record', damageObject],
    ['its tree', damageTreeOf],
  ])('(%s) is left out of history, told to the logger, and a DamageError when it is asked for', async (_what, damage) => {
    const { dir, ids } = await fiveDays();
    damage(dir, ids[2]!);
    const { store, warnings } = await opened(dir);
    const volume = await store.volumes.fromName('v');
    expect(await messages(volume.history())).toEqual(['day 4', 'day 3', 'day 1', 'day 0']);
    expect(warnings).toHaveLength(1);
    expect(await messages(volume.history({ path: 'a' }))).toEqual(['day 4', 'day 3', 'day 1', 'day 0']);
    expect(await messages(volume.history({ path: 'd/3' }))).toEqual(['day 3']);
    expect(await messages(volume.history({ path: 'd/2' }))).toEqual(['day 3']);
    expect(await messages(volume.history({ path: 'd/1', from: ids[2]! }))).toEqual(['day 1']);
    for (const ref of [ids[2]!, ids[2]!.slice(0, 8), 'HEAD~2']) expect(await codeOf(volume.snapshot(ref))).toBe('CAIRN_DAMAGED');
    expect((await volume.snapshot('HEAD~3')).info.message).toBe('day 1');
    await volume.writeFile('a', 'goes on');
    expect((await volume.commit({ message: 'day 5' })).snapshot.generation).toBe(6);
  });

  test('is passed over by a date only where it cannot be what was meant', async () => {
    const { dir, ids } = await fiveDays();
    damageObject(dir, ids[2]!);
    const { store } = await opened(dir);
    const volume = await store.volumes.fromName('v');
    const at = async (date: string): Promise<string> => (await volume.snapshot(date)).info.message;
    expect([await at('2026-01-30'), await at('2026-02-02'), await at('2030-01-01')]).toEqual(['day 0', 'day 3', 'day 4']);
    // Between day 1 and day 3: the damaged snapshot may be older than this moment, or younger.
    expect(await codeOf(at('2026-02-01'))).toBe('CAIRN_DAMAGED');
    expect(await codeOf(at('2026-01-31T12:00:00Z'))).toBe('CAIRN_DAMAGED');
    expect(await codeOf(at('2026-01-29'))).toBe('CAIRN_SNAPSHOT_NOT_FOUND');
  });
});
