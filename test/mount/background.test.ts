import fs from 'node:fs';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { isCairnError, type MountCommitResult } from '@cairn/core';
import { describe, expect, test } from 'vitest';
import { followHeads } from '../../packages/core/src/mount/follow.js';
import { codeOf } from '../contract/support.js';
import { Child } from '../support/children.js';
import { edit, rig } from './support.js';

const SOON = { intervalMs: 50, settleMs: 0 };

describe('commits in the background', () => {
  test('come by themselves while something changes, make no empty versions, and come once more on close', async () => {
    const { mount, path, head, v } = await rig({ a: 'a' });
    const f = await mount('f', { backgroundCommit: SOON });
    edit(path('f'), { b: 'b' });
    const [result] = (await once(f, 'commit')) as [MountCommitResult];
    expect(result).toMatchObject({ added: 1 });
    await sleep(300);
    await v.reload();
    expect(v.base?.id).toBe(result.snapshot.id);
    expect((await f.status()).lastCommit?.snapshot.id).toBe(result.snapshot.id);
    edit(path('f'), { c: 'c' });
    await f.close();
    expect(await head()).toEqual({ a: 'a', b: 'b', c: 'c' });
  });

  test('leave out files that are young, or open for writing; a commit that is asked for does not', async () => {
    const { mount, path, head } = await rig({ a: 'a' });
    const f = await mount('f', { backgroundCommit: { intervalMs: 50, settleMs: 600 } });
    const fd = fs.openSync(path('f', 'open'), 'w');
    fs.writeSync(fd, 'so far');
    edit(path('f'), { young: 'y', 'd/e': '/' });
    const past = new Date(Date.now() - 10_000);
    edit(path('f'), { old: 'o' });
    fs.utimesSync(path('f', 'old'), past, past);
    fs.futimesSync(fd, past, past);
    const [first] = (await once(f, 'commit')) as [MountCommitResult];
    expect(first.added).toBe(1);
    expect(first.busy).toEqual(process.platform === 'linux' ? ['open', 'young'] : ['young']);
    await once(f, 'commit');
    expect(await head()).toEqual({ a: 'a', 'd/e': '/', old: 'o', young: 'y' });
    expect(await f.commit()).toMatchObject({ added: 1, busy: [] });
    fs.closeSync(fd);
    expect(await head()).toMatchObject({ open: 'so far' });
  });

  test('that fail emit commitFailed, never error, and are tried again', async () => {
    const { mount, path, store } = await rig({ a: 'a' });
    const f = await mount('f', { backgroundCommit: SOON });
    await store.volumes.rename('v', 'w');
    await store.volumes.delete('w');
    edit(path('f'), { b: 'b' });
    for (let i = 0; i < 2; i++) {
      const [error] = (await once(f, 'commitFailed')) as [unknown];
      expect(isCairnError(error, 'CAIRN_VOLUME_NOT_FOUND')).toBe(true);
    }
    expect(await codeOf(f.close())).toBe('CAIRN_VOLUME_NOT_FOUND');
    expect(fs.readFileSync(path('f', 'b'), 'utf8')).toBe('b');
  });

  test.each(['SIGTERM', 'SIGINT'] as const)(
    'with commitOnSignals, %s commits, and then ends the process as it would have',
    async (signal) => {
      const { store, path, head } = await rig({ a: 'a' });
      const options = { backgroundCommit: { intervalMs: 1_000_000, commitOnSignals: true } };
      const child = Child.start('mounter.mjs', { store: store.info().dir, volume: 'v', folder: path('f'), options, stay: true });
      const mounted = await child.hears(({ say }) => say === 'mounted');
      edit(path('f'), { b: 'b' });
      process.kill(mounted!['pid'] as number, signal);
      const ended = await child.ended;
      expect(ended).toMatchObject({ code: null, signal, stderr: '' });
      expect(await head()).toEqual({ a: 'a', b: 'b' });
    },
  );

  test('handlers of signals are there only while they are asked for', async () => {
    const { mount } = await rig({ a: 'a' });
    const before = process.listenerCount('SIGTERM');
    const f = await mount('f', { backgroundCommit: { commitOnSignals: true } });
    expect(process.listenerCount('SIGTERM')).toBe(before + 1);
    await f.close();
    const g = await mount('g', { backgroundCommit: true });
    expect(process.listenerCount('SIGTERM')).toBe(before);
    await g.close();
    expect(await codeOf(mount('h', { backgroundCommit: { intervalMs: 0 } }))).toBe('CAIRN_INVALID_ARGUMENT');
  });
});

test('following heads reloads for each, brings in together what comes meanwhile, and goes on after a failure', async () => {
  const reloads: number[] = [];
  let heads = 0;
  async function* source(): AsyncGenerator<number> {
    for (const pauseMs of [0, 1, 1, 60, 1]) {
      await sleep(pauseMs);
      yield ++heads;
    }
  }
  const failures: unknown[] = [];
  const reload = async (): Promise<void> => {
    reloads.push(heads);
    await sleep(30);
    if (reloads.length === 1) throw new Error('once');
  };
  await followHeads(source(), reload, (error) => failures.push(error));
  expect(failures).toHaveLength(1);
  expect(reloads.at(-1)).toBe(5);
  expect(reloads.length).toBeLessThan(5);
});
