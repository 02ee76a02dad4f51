import { writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { openStore } from '@cairn/core';
import { folder, rig } from './support.js';
import { eventually } from '../support/eventually.js';

describe('a mount that follows its volume', () => {
  test('brings in what others commit, by itself, with local changes on top, until it is closed', async () => {
    const { mount, path, commit } = await rig({ a: '1', b: '1' });
    const f = await mount('f', { autoReload: true });
    const versions: number[] = [];
    f.on('reload', ({ generation }) => versions.push(generation));
    writeFileSync(path('f', 'b'), 'mine');
    for (const text of ['2', '3', '4']) {
      await commit({ a: text });
      await eventually(() => folder(path('f'))['a'] === text);
    }
    expect(folder(path('f'))).toEqual({ a: '4', b: 'mine' });
    await eventually(() => versions.at(-1) === 4);
    await f.close();
    await commit({ a: '5' });
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(folder(path('f'))).toEqual({ a: '4', b: 'mine' });
  });

  test('begins with what was committed while nobody followed', async () => {
    const { mount, path, commit } = await rig({ a: '1' });
    await (await mount('f')).close();
    await commit({ a: '2' });
    await mount('f', { autoReload: true });
    await eventually(() => folder(path('f'))['a'] === '2');
  });

  test('two that follow and commit meet in the same state', async () => {
    const { mount, path, head } = await rig({ a: '1' });
    const options = { autoReload: true, backgroundCommit: { intervalMs: 50, settleMs: 0 } };
    await mount('f', options);
    await mount('g', options);
    writeFileSync(path('f', 'from-f'), 'f');
    writeFileSync(path('g', 'from-g'), 'g');
    const both = { a: '1', 'from-f': 'f', 'from-g': 'g' };
    await eventually(() => JSON.stringify([folder(path('f')), folder(path('g'))]) === JSON.stringify([both, both]));
    expect(await head()).toEqual(both);
  });

  test('does not hold up the end of its store', async () => {
    const { mount, store, path } = await rig({ a: '1' });
    await mount('f', { autoReload: true });
    await store.close();
    await (await openStore(path('store'))).close();
  });
});
