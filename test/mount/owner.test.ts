import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openMount, openStore } from '@cairn/core';
import { describe, expect, onTestFinished, test } from 'vitest';
import { codeOf, failure, runNode } from '../contract/support.js';
import { Child } from '../support/children.js';
import { tempDir } from '../support/temp-dir.js';
import { edit, folder, rig } from './support.js';

async function owned(files: Record<string, string>): Promise<{ r: Awaited<ReturnType<typeof rig>>; child: Child; pid: number }> {
  const r = await rig(files);
  const child = Child.start('mounter.mjs', { store: r.store.info().dir, volume: 'v', folder: r.path('f'), stay: true });
  const mounted = await child.hears(({ say }) => say === 'mounted');
  return { r, child, pid: mounted!['pid'] as number };
}

describe('a folder has one owning process', () => {
  test('a second mount of it is refused, with the pid of the owner; also within one process', async () => {
    const { r, child, pid } = await owned({ a: 'a' });
    expect(await failure(r.mount('f'))).toMatchObject({ code: 'CAIRN_MOUNT_OWNED', pid });
    child.stop();
    await child.succeeds();
    const f = await r.mount('f');
    expect(await failure(r.mount('f'))).toMatchObject({ code: 'CAIRN_MOUNT_OWNED', pid: process.pid });
    await f.close();
  });

  test('others commit, reload and ask through it; what fails comes back typed; a folder within the mount will do', async () => {
    const { r, child, pid } = await owned({ a: 'a', 'd/b': 'b' });
    edit(r.path('f'), { a: 'edited' });
    const far = await openMount(r.path('f', 'd'));
    expect(far.dir).toBe(r.path('f'));
    expect(await far.status()).toMatchObject({ modified: ['a'], ownerPid: pid, base: { volume: 'v' } });
    const committed = await far.commit({ message: 'from afar' });
    expect(committed).toMatchObject({ modified: 1, snapshot: { message: 'from afar', createdAt: expect.any(Date) as Date } });
    expect((await far.status()).lastCommit).toEqual(committed);
    await r.commit({ a: 'theirs' });
    edit(r.path('f'), { a: 'mine' });
    expect(await failure(far.commit({ onConflict: 'fail' }))).toMatchObject({ code: 'CAIRN_CONFLICT', paths: ['a'] });
    expect(await failure(far.reload({ onConflict: 'fail' }))).toMatchObject({ code: 'CAIRN_CONFLICT', paths: ['a'] });
    expect(await codeOf(far.commit({ onConflict: () => 'ours' }))).toBe('CAIRN_INVALID_ARGUMENT');
    expect(await far.reload()).toEqual({ updated: 0, conflicts: ['a'], busy: [] });
    expect(await failure(far.close({ removeFiles: true }))).toMatchObject({ code: 'CAIRN_MOUNT_OWNED', pid });
    const gone = new AbortController();
    gone.abort(new Error('enough'));
    await expect(far.status({ signal: gone.signal })).rejects.toThrow('enough');
    child.stop();
    await child.succeeds();
    expect(await codeOf(far.status())).toBe('CAIRN_CLOSED');
  });

  test('one that is dead is none: the folder is taken over', async () => {
    const { r, child } = await owned({ a: 'a' });
    edit(r.path('f'), { b: 'b' });
    await child.kill();
    const direct = await openMount(r.path('f'));
    expect(await direct.status()).toMatchObject({ added: ['b'], ownerPid: null });
    expect(await direct.commit()).toMatchObject({ added: 1 });
    await direct.close();
    expect(await r.head()).toEqual({ a: 'a', b: 'b' });
  });

  test('of many who come at once, one at a time owns it, and all get their turn', async () => {
    const { r, child } = await owned({});
    child.stop();
    await child.succeeds();
    const taken = await Promise.all(
      Array.from({ length: 4 }, async (_, i) => {
        edit(r.path('f'), { [`n${i}`]: `${i}` });
        for (;;) {
          try {
            const mount = await openMount(r.path('f'));
            await mount.commit();
            await mount.close();
            return i;
          } catch (error) {
            if (!['CAIRN_MOUNT_OWNED', 'CAIRN_CLOSED'].includes((error as { code: string }).code)) throw error;
            await sleep(20);
          }
        }
      }),
    );
    expect(taken).toEqual([0, 1, 2, 3]);
    expect(Object.keys(await r.head()).sort()).toEqual(['n0', 'n1', 'n2', 'n3']);
    const [id] = readdirSync(join(r.store.info().dir, 'mounts'));
    const left = readdirSync(join(r.store.info().dir, 'mounts', id!)).filter((name) => !/^stat-cache-\d+$/.test(name));
    expect(left).toEqual(['state']);
  });

  test('a store however deep has a socket: long names of sockets are cut without a word', async () => {
    const deep = join(tempDir(), 'x'.repeat(120), 'y'.repeat(120));
    mkdirSync(deep, { recursive: true });
    const store = await openStore(join(deep, 'store'), { workers: 1 });
    onTestFinished(() => store.close());
    const v = await store.volumes.fromName('v', { createIfMissing: true });
    const f = await v.mount(join(deep, 'f'));
    edit(f.dir, { a: 'a' });
    const far = await openMount(f.dir);
    expect(await far.status()).toMatchObject({ added: ['a'], ownerPid: process.pid });
    expect(await far.commit()).toMatchObject({ added: 1 });
  });
});

test('a mount keeps no process alive, and one that ends without closing leaves nothing behind', async () => {
  const r = await rig({ a: 'a' });
  const { code, err } = await runNode(`
    import { openStore } from '@cairn/core';
    const store = await openStore(${JSON.stringify(r.store.info().dir)}, { workers: 1 });
    await (await store.volumes.fromName('v')).mount(${JSON.stringify(r.path('f'))}, { backgroundCommit: { intervalMs: 50, commitOnSignals: true } });
  `);
  expect({ code, err }).toEqual({ code: 0, err: '' });
  const f = await r.mount('f');
  expect(folder(f.dir)).toEqual({ a: 'a' });
});
