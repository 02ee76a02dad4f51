import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { GcReport, Snapshot, Store, Volume } from '@cairn/core';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { Companion } from '../support/companion.js';
import { noise, randomFrom, testSeed } from '../support/random.js';
import { tell } from '../support/tell.js';
import { tempDir } from '../support/temp-dir.js';

/** Dry runs that are compared with runs; a long run sets more. */
const RUNS = Number(process.env['CAIRN_TEST_DRY_RUNS'] ?? 8);
/** A new store after so many. */
const RUNS_A_STORE = 12;
/** Disk calls within which a companion is killed: a write, and a commit or two. */
const MAX_CALLS = 30;
/** Stored by worker threads, in packs of its own. */
const LARGE = 4_300_000;

function openAt(dir: string): Promise<Store> {
  return openStoreOn({ durable: false }, dir, { workers: 1, mergeSmallPacks: false });
}

/** All files of a store but what every process that reads it notes for itself, with what is in them. */
function filesOf(dir: string): Map<string, string> {
  const files = new Map<string, string>();
  for (const name of readdirSync(dir, { recursive: true, encoding: 'utf8' })) {
    if (name.startsWith('leases') || name === join('index', 'lock.mdb') || !statSync(join(dir, name)).isFile()) continue;
    files.set(
      name,
      createHash('sha256')
        .update(readFileSync(join(dir, name)))
        .digest('hex'),
    );
  }
  return files;
}

/** A dry run, which changes nothing, and the run that it spoke of. */
async function compared(store: Store, call: 'gc' | 'optimize', context = ''): Promise<GcReport> {
  const { dir } = store.info();
  const before = filesOf(dir);
  const leases = readdirSync(join(dir, 'leases')).sort();
  const expected = await store[call]({ dryRun: true });
  expect(filesOf(dir), context).toEqual(before);
  expect(readdirSync(join(dir, 'leases')).sort(), context).toEqual(leases);
  const done = await store[call]();
  expect(expected, `${call} ${context}`).toEqual(done);
  return done as GcReport;
}

async function stored(): Promise<{ dir: string; store: Store; volume: Volume }> {
  const dir = join(tempDir(), 'store');
  const store = await openAt(dir);
  onTestFinished(() => store.close());
  const volume = await store.volumes.fromName('v', { createIfMissing: true });
  return { dir, store, volume };
}

/** This process's part: changes, commits and versions that it has open, beside companions that are killed. */
class Scene {
  private readonly dir: string;
  readonly store: Store;
  private readonly volume: Volume;
  private readonly random: (limit: number) => number;
  private readonly opened: Snapshot[] = [];
  private companions: Companion[] = [];
  private others = 0;
  readonly counts = { killed: 0, killedAtCalls: 0 };

  constructor({ dir, store, volume }: Awaited<ReturnType<typeof stored>>, random: (limit: number) => number) {
    [this.dir, this.store, this.volume, this.random] = [dir, store, volume, random];
  }

  async step(): Promise<string> {
    this.companions = this.companions.filter(({ isDead }) => !isDead);
    if (this.companions.length < 2) this.companions.push(await Companion.start(this.dir));
    const companion = this.companions[this.random(this.companions.length)]!;
    const { volume, random } = this;
    switch (random(14)) {
      case 0:
        await volume.writeFile(`mine/${random(3)}`, noise(1 + random(60_000), random(6)));
        return 'write';
      case 1:
      case 2:
        await volume.writeFile(`mine/${random(3)}`, noise(1 + random(60_000), random(6)));
        await volume.commit();
        return 'commit';
      case 3:
      case 4:
        await volume.reload({ discard: true });
        await volume.prune({ keepLast: 1 });
        return 'prune';
      case 5:
        if (volume.base !== null) this.opened.push(await volume.snapshot(volume.base.id));
        return 'open';
      case 6:
        await this.opened.shift()?.close();
        return 'close';
      case 7: {
        const name = `other-${this.others++}`;
        await this.store.volumes.fork('v', name);
        if (random(2) === 0) await this.store.volumes.delete(name);
        return 'fork';
      }
      case 8:
        this.counts.killed++;
        await companion.child.kill();
        return 'kill';
      case 9: {
        await companion.does('arm', { call: 1 + random(MAX_CALLS) });
        const alive = (await this.write(companion)) && (await companion.does('commit'));
        if (alive) await companion.does('disarm');
        else this.counts.killedAtCalls++;
        return `armed ${alive}`;
      }
      case 10:
        await companion.does('ephemeral', { text: `noise:${1 + random(50_000)}:${random(6)}` });
        return 'ephemeral';
      case 11:
        await this.write(companion);
        return 'its write';
      case 12:
        await companion.does(['commit', 'drop'][random(2)]!);
        return 'its changes';
      default:
        await companion.does(['open', 'close'][random(2)]!);
        return 'its versions';
    }
  }

  private write(companion: Companion): Promise<boolean> {
    const { random } = this;
    const size = random(3) === 0 ? LARGE + random(1000) : 1 + random(60_000);
    return companion.does('write', { path: `its/${random(3)}`, text: `noise:${size}:${random(6)}` });
  }

  async end(): Promise<void> {
    for (const { child } of this.companions) await child.kill();
    for (const snapshot of this.opened) await snapshot.close();
    await this.volume.close();
  }
}

describe('a dry run tells what a run at that moment does, and changes nothing', () => {
  test('whatever this process and others have changed, kept open and left when they were killed', async () => {
    const random = randomFrom(testSeed('dry runs'));
    const counts = { runs: 0, killed: 0, killedAtCalls: 0, freed: 0, waiting: 0, held: 0 };
    while (counts.runs < RUNS) {
      const scene = new Scene(await stored(), random);
      for (let run = 0; run < RUNS_A_STORE && counts.runs < RUNS; run++) {
        const steps: string[] = [];
        for (let i = 0, count = 3 + random(8); i < count; i++) steps.push(await scene.step());
        const { freed, waiting, held } = await compared(scene.store, random(3) === 0 ? 'optimize' : 'gc', `after ${steps.join(', ')}`);
        counts.runs++;
        if (freed > 0) counts.freed++;
        if (waiting > 0) counts.waiting++;
        if (held > 0) counts.held++;
      }
      await scene.end();
      expect((await compared(scene.store, 'gc')).waiting).toBe(0);
      expect(await scene.store.verify({ readData: true })).toMatchObject({ ok: true, damage: [] });
      counts.killed += scene.counts.killed;
      counts.killedAtCalls += scene.counts.killedAtCalls;
    }
    tell('dry runs', counts);
  }, 3_600_000);

  test('a pack that a process sealed, and died before anybody knew', async () => {
    const { dir, store, volume } = await stored();
    await volume.writeFile('a', noise(1000, 1));
    await volume.commit();
    const companion = await Companion.start(dir, { kinds: ['link'] });
    await companion.does('arm', { call: 1 });
    await companion.does('write', { path: 'b', text: 'noise:50000:1' });
    // The pack lies where it belongs, and neither the journal nor the index speaks of it.
    expect(await companion.does('commit')).toBe(false);
    expect(await compared(store, 'gc')).toMatchObject({ packsDropped: 1, held: 0 });
  });

  test('what a process had in an ephemeral volume, and died', async () => {
    const { dir, store, volume } = await stored();
    await volume.writeFile('a', noise(1000, 1));
    await volume.commit();
    const companion = await Companion.start(dir);
    await companion.does('ephemeral', { text: 'noise:40000:1' });
    expect(await compared(store, 'gc')).toMatchObject({ packsDropped: 0, freed: 0 });
    await companion.child.kill();
    const { freed, held } = await compared(store, 'gc');
    expect(freed).toBeGreaterThan(40_000);
    expect(held).toBe(0);
  });

  test('packs that were condemned while another had changes, and wait for that one only', async () => {
    const { dir, store, volume } = await stored();
    await volume.writeFile('a', noise(LARGE, 1));
    await volume.commit();
    await volume.remove('a');
    await volume.commit();
    await volume.prune({ keepLast: 1 });
    const [older, newer] = [await Companion.start(dir), await Companion.start(dir)];
    await older.does('write', { path: 'b', text: 'noise:100:1' });
    const first = await compared(store, 'gc');
    expect(first.waiting).toBeGreaterThan(LARGE);
    expect(first.blockedBy).toHaveLength(1);
    await newer.does('write', { path: 'c', text: 'noise:100:2' });
    // Of two that have changes one began before.
    const second = await compared(store, 'gc');
    expect(second).toMatchObject({ freed: 0, waiting: first.waiting, blockedBy: first.blockedBy });
    await older.does('drop');
    const third = await compared(store, 'gc');
    expect(third).toMatchObject({ waiting: 0, blockedBy: [] });
    expect(third.freed).toBe(first.waiting);
  });

  test('what somebody says to give up, which a dry run only takes for given up', async () => {
    const { dir, store, volume } = await stored();
    await volume.writeFile('a', noise(LARGE, 1));
    await volume.commit();
    const companion = await Companion.start(dir);
    await companion.does('write', { path: 'b', text: 'noise:100:1' });
    await volume.remove('a');
    await volume.commit();
    await volume.prune({ keepLast: 1 });
    const { blockedBy } = await store.gc();
    const breakLease = blockedBy[0]!.lease;
    const expected = await store.gc({ dryRun: true, breakLease });
    expect(readdirSync(join(dir, 'leases'))).toContain(breakLease);
    expect(await store.gc({ dryRun: true })).toMatchObject({ freed: 0, blockedBy });
    expect(await store.gc({ breakLease })).toEqual(expected);
    expect(expected).toMatchObject({ waiting: 0, blockedBy: [] });
    expect(expected.freed).toBeGreaterThan(LARGE);
  });
});
