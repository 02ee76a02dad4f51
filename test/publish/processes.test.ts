import { execFile, spawn } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { isCairnError } from '../../packages/core/src/errors.js';
import { createHasher } from '../../packages/core/src/hash/blake3.js';
import { digestToHex } from '../../packages/core/src/hash/digest.js';
import { ObjectKind } from '../../packages/core/src/hash/object-kind.js';
import { refTableOf } from '../../packages/core/src/index/ref-table.js';
import { listLeases } from '../../packages/core/src/publish/leases.js';
import { rebuildState } from '../../packages/core/src/publish/rebuild-state.js';
import { newVolumeId, type VolumeId } from '../../packages/core/src/refs/ref-table.js';
import { decodeSnapshotRecord } from '../../packages/core/src/snapshot/record.js';
import type { FaultyDiskOptions } from '../support/faulty-disk.mjs';
import { makeStore, noLease, openRig, type Rig } from '../support/publish-rig.js';
import { tempDir } from '../support/temp-dir.js';

const run = promisify(execFile);
const SCRIPT = fileURLToPath(new URL('../support/commit-process.mjs', import.meta.url));
const EXITING = new URL('../support/exiting-disk.mjs', import.meta.url).href;
// The thread behind it is a file of the built package.
const { Publisher } = await import('../../packages/core/dist/publish/publisher.js');
const hasher = createHasher();

interface Job {
  dir: string;
  volumeId: VolumeId;
  prefix: string;
  count: number;
  faults?: FaultyDiskOptions;
  close?: boolean;
  exitAfterMs?: number;
}

async function newVolume(): Promise<{ dir: string; volumeId: VolumeId }> {
  const dir = tempDir();
  await makeStore(dir);
  const rig = (await openRig(dir)).start();
  const volumeId = rig.create('models');
  await rig.close();
  return { dir, volumeId };
}

/** Runs a process to its end, whatever that is; the names that it was told are committed. */
async function commits(job: Job): Promise<{ acknowledged: string[]; signal: string | null }> {
  const outcome = await run(process.execPath, [SCRIPT, JSON.stringify(job)]).then(
    ({ stdout }) => ({ stdout, signal: null }),
    (error: { stdout: string; signal: string | null; stderr: string }) => {
      if (error.signal === null) throw new Error(error.stderr);
      return error;
    },
  );
  return { acknowledged: outcome.stdout.split('\n').filter((line) => line !== ''), signal: outcome.signal };
}

/** Every generation has its predecessor as parent, and its message names the file that it added. */
function historyOf(rig: Rig, volumeId: VolumeId): string[] {
  rig.parts.reader.refresh();
  let parent: string | null = null;
  return [...rig.parts.reader.generations(volumeId)].map(({ generation, snapshot }, i) => {
    const record = decodeSnapshotRecord(rig.parts.objects.get(ObjectKind.snapshot, snapshot));
    expect([record.generation, generation]).toEqual([i + 1, i + 1]);
    expect(record.parent === null ? null : digestToHex(record.parent)).toBe(parent);
    parent = digestToHex(snapshot);
    return record.message;
  });
}

function expectAgreement(rig: Rig): void {
  rig.parts.reader.refresh();
  const { table, damage } = rebuildState(rig.parts.config.dir, hasher);
  expect(refTableOf(rig.parts.reader)).toEqual(table);
  expect(damage).toEqual([]);
}

describe('several processes', () => {
  it('that commit to one volume at the same time all finish, and lose nothing', async () => {
    const { dir, volumeId } = await newVolume();
    const prefixes = ['a', 'b', 'c'];
    const results = await Promise.all(prefixes.map((prefix) => commits({ dir, volumeId, prefix, count: 25 })));
    const names = prefixes.flatMap((prefix) => Array.from({ length: 25 }, (_, i) => `${prefix}${i}`)).sort();
    expect(results.flatMap(({ acknowledged }) => acknowledged).sort()).toEqual(names);
    const rig = (await openRig(dir)).start();
    expect(historyOf(rig, volumeId).sort()).toEqual(names);
    expect(Object.keys(rig.files(volumeId)).sort()).toEqual(names);
    expect(listLeases(rig.parts.layout)).toEqual({ alive: [], dead: [], unreadable: [] });
    expectAgreement(rig);
  });

  it('one of which is killed at some disk call keep every acknowledged commit, and the others go on', async () => {
    // Some of the calls of two commits: a disk that fails for good at any of them is tested elsewhere, without processes.
    for (let failAt = 2; failAt <= 30; failAt += 8) {
      const { dir, volumeId } = await newVolume();
      const counterFile = join(tempDir(), 'calls');
      const killed = await commits({ dir, volumeId, prefix: 'killed', count: 2, faults: { failAt, error: 'kill', counterFile } });
      const after = await commits({ dir, volumeId, prefix: 'after', count: 1 });
      expect(after.acknowledged).toEqual(['after0']);
      const rig = (await openRig(dir)).start();
      const history = historyOf(rig, volumeId);
      // At most the one commit that was under way is there without having been acknowledged.
      const unknown = history.filter((name) => name !== 'after0' && !killed.acknowledged.includes(name));
      expect(history).toEqual([...killed.acknowledged, ...unknown, 'after0']);
      expect(unknown.length).toBeLessThanOrEqual(1);
      expect(Object.keys(rig.files(volumeId)).sort()).toEqual([...history].sort());
      expect(listLeases(rig.parts.layout)).toEqual({ alive: [], dead: [], unreadable: [] });
      expectAgreement(rig);
      await rig.close();
      if (killed.signal === null) break;
      expect(killed.signal).toBe('SIGKILL');
    }
  });

  it('one of which dies between the journal and the index leave a change that the next commit applies', async () => {
    const { dir, volumeId } = await newVolume();
    // The first unlink comes right after the journal file is in place: that of its temporary name.
    const killed = await commits({
      dir,
      volumeId,
      prefix: 'killed',
      count: 1,
      faults: { failAt: 1, kinds: ['unlink'], error: 'kill', counterFile: join(tempDir(), 'calls') },
    });
    expect(killed).toEqual({ acknowledged: [], signal: 'SIGKILL' });
    expect(rebuildState(dir, hasher).table.seq).toBe(2);
    await commits({ dir, volumeId, prefix: 'after', count: 1 });
    const rig = (await openRig(dir)).start();
    expect(historyOf(rig, volumeId)).toEqual(['killed0', 'after0']);
    expect(rig.files(volumeId)).toEqual({ killed0: 'killed0', after0: 'after0' });
    expectAgreement(rig);
  });
});

describe('a publisher', () => {
  it('in the middle of commits lets process.exit end the process at once, and others go on', async () => {
    const { dir, volumeId } = await newVolume();
    const exits = Array.from({ length: 3 }, (_, i) => commits({ dir, volumeId, prefix: `exit${i}`, count: 1000, exitAfterMs: 30 * i }));
    const acknowledged = (await Promise.all(exits)).flatMap((outcome) => outcome.acknowledged);
    expect((await commits({ dir, volumeId, prefix: 'after', count: 1 })).acknowledged).toEqual(['after0']);
    const rig = (await openRig(dir)).start();
    expect(historyOf(rig, volumeId)).toEqual(expect.arrayContaining(acknowledged));
    expectAgreement(rig);
  });

  it('that is idle lets the process end, without being closed', async () => {
    const { dir, volumeId } = await newVolume();
    const child = spawn(process.execPath, [SCRIPT, JSON.stringify({ dir, volumeId, prefix: 'x', count: 1, close: false } satisfies Job)]);
    expect(await new Promise((resolve) => child.on('exit', (code, signal) => resolve({ code, signal })))).toEqual({
      code: 0,
      signal: null,
    });
  });

  it('whose thread dies rejects what is waiting, and starts another for the next call', async () => {
    const { dir, volumeId } = await newVolume();
    const flag = join(tempDir(), 'die');
    const disk = { durable: false, module: EXITING, options: { flag } };
    const publisher = new Publisher({ dir, disk, hash: 'auto', compression: 'fast' }, noLease());
    await publisher.change({ type: 'volume-renamed', volumeId, name: 'first' });
    writeFileSync(flag, '');
    const bytes = new Uint8Array(10);
    const object = { kind: ObjectKind.chunk, digest: hasher.digest(bytes), bytes };
    const outcomes = await Promise.allSettled([publisher.writeObjects([object]), publisher.catchUp()]);
    expect(outcomes.map((outcome) => outcome.status === 'rejected' && isCairnError(outcome.reason) && outcome.reason.code)).toEqual([
      'CAIRN_WORKER_DIED',
      'CAIRN_WORKER_DIED',
    ]);
    rmSync(flag);
    expect((await publisher.change({ type: 'volume-renamed', volumeId, name: 'third' })).volume?.name).toBe('third');
    await publisher.close();
    const rig = (await openRig(dir)).start();
    expect(rig.parts.reader.volumeById(volumeId)?.name).toBe('third');
    expectAgreement(rig);
  });

  it('brings errors over as what they were, and refuses calls once it is closed', async () => {
    const { dir, volumeId } = await newVolume();
    const publisher = new Publisher({ dir, disk: { durable: false }, hash: 'auto', compression: 'fast' }, noLease());
    const codeOf = (call: Promise<unknown>): Promise<string> =>
      call.then(
        () => 'ok',
        (error: unknown) => (isCairnError(error) ? error.code : String(error)),
      );
    expect(await codeOf(publisher.change({ type: 'volume-created', volumeId: newVolumeId(), name: 'models', createdAtMs: 1 }))).toBe(
      'CAIRN_VOLUME_EXISTS',
    );
    expect(await codeOf(publisher.change({ type: 'volume-deleted', volumeId }))).toBe('ok');
    await Promise.all([publisher.close(), publisher.close()]);
    expect(await codeOf(publisher.catchUp())).toBe('CAIRN_CLOSED');
  });

  it('finds that the index was replaced under it', async () => {
    const { dir } = await newVolume();
    const publisher = new Publisher(
      { dir, disk: { durable: false }, hash: 'auto', compression: 'fast', index: { dev: 1, ino: 1 } },
      noLease(),
    );
    await expect(publisher.catchUp()).rejects.toMatchObject({ code: 'CAIRN_INDEX_REPLACED' });
    await publisher.close();
  });
});
