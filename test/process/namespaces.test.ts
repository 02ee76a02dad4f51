import { spawnSync } from 'node:child_process';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openMount, type GcReport, type Store } from '@cairn/core';
import { beforeEach, describe, expect, test } from 'vitest';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { failure } from '../contract/support.js';
import { Child } from '../support/children.js';
import { noise } from '../support/random.js';
import { tempDir } from '../support/temp-dir.js';
import { withStore } from '../support/with-store.js';
import { edit, folder } from '../mount/support.js';

/*
 * Processes in pid namespaces of their own, as of containers that share a store. Each is process 1 there; none can look at the others.
 */
const INTO_NAMESPACE = 'exec unshare -pf --mount-proc --kill-child';
const reason = whyNot();

function whyNot(): string | undefined {
  if (process.getuid?.() !== 0) return 'only root can make pid namespaces';
  const { status, error, stderr } = spawnSync('unshare', ['-pf', '--mount-proc', 'true'], { encoding: 'utf8' });
  return status === 0 ? undefined : `no pid namespace can be made here: ${error?.message ?? stderr}`;
}

const LARGE = noise(5 << 20, 1);

let dir: string;
let file: string;

beforeEach(async ({ skip }) => {
  if (reason !== undefined) {
    console.log(`processes in two pid namespaces: skipped, ${reason}`);
    return skip(reason);
  }
  const top = tempDir();
  [dir, file] = [join(top, 'store'), join(top, 'file')];
  writeFileSync(file, noise(5 << 20, 2));
  await inStore(async (store) => {
    const volume = await store.volumes.fromName('v', { createIfMissing: true });
    await volume.writeFile('large', LARGE);
    await volume.commit();
    await volume.close();
  });
});

function inStore<T>(use: (store: Store) => Promise<T>): Promise<T> {
  return withStore(dir, use, (at) => openStoreOn({ durable: false }, at, { workers: 1 }));
}

function inNamespace(script: string, input: object): Child {
  return Child.start(script, input, `${INTO_NAMESPACE} "$0" "$@"`);
}

/** As a process that is not the first of its namespace: two of the same number cannot have a store open at a time. */
function secondInNamespace(script: string, input: object): Child {
  return Child.start(script, input, `${INTO_NAMESPACE} sh -c '"$0" "$@"; exit $?' "$0" "$@"`);
}

/** What `drafter.mjs` does: 5 MiB without a commit, and a version open that leaves its history now. */
const draft = (): object => ({ dir, volume: 'v', path: 'again', file, baseFile: 'large' });

async function drafting(): Promise<Child> {
  const child = inNamespace('drafter.mjs', draft());
  await child.hears(({ say }) => say === 'ready');
  return child;
}

async function takeAway(store: Store): Promise<void> {
  const volume = await store.volumes.fromName('v');
  await volume.writeFile('large', 'small');
  await volume.commit();
  await volume.prune({ keepLast: 1 });
  await volume.close();
}

describe('leases of processes in other pid namespaces', () => {
  test('keep what a living one reads, and has without a commit, from collections of any namespace', async () => {
    const child = await drafting();
    // Has the same number. It tries for ten seconds.
    const twin = inNamespace('collector.mjs', { dir, rounds: 2 });
    await inStore(async (store) => {
      await takeAway(store);
      for (let round = 0; round < 2; round++) expect((await store.gc()).blockedBy.map(({ pid }) => pid)).toEqual([1]);
    });
    const [open, ...done] = await secondInNamespace('collector.mjs', { dir, rounds: 2 }).succeeds();
    expect(open!['pid']).toBeGreaterThan(1);
    expect(done.map(({ report }) => (report as GcReport).blockedBy)).toMatchObject([[{ pid: 1 }], [{ pid: 1 }]]);
    const { code, stderr } = await twin.ended;
    expect(code).not.toBe(0);
    expect(stderr).toContain("code: 'CAIRN_SAME_PID'");
    for (const order of ['read', 'commit', 'read']) {
      const before = child.said.length;
      child.tell({ order });
      expect(await child.hears(({ say }) => say === order, before)).toBeDefined();
    }
    child.stop();
    await child.succeeds();
    await inStore(async (store) => {
      expect(await store.gc()).toMatchObject({ waiting: 0, held: 0, blockedBy: [] });
      const volume = await store.volumes.fromName('v');
      expect(Buffer.compare(await volume.readFile('again'), noise(5 << 20, 2))).toBe(0);
      await volume.close();
      expect(await store.verify({ readData: true })).toMatchObject({ ok: true, damage: [] });
      expect((await store.usage()).stored).toBeLessThan(5_600_000);
    });
  });

  test('count as alive when the process is dead, also for one of the same number, until they are broken by hand', async () => {
    const child = await drafting();
    await child.kill();
    await inStore(takeAway);
    const [open, ...done] = await inNamespace('collector.mjs', { dir, rounds: 2 }).succeeds();
    expect(open).toMatchObject({ pid: 1 });
    expect(done.map(({ report }) => (report as GcReport).blockedBy)).toMatchObject([[{ pid: 1 }], [{ pid: 1 }]]);
    await inStore(async (store) => {
      const { blockedBy } = await store.gc();
      expect(blockedBy).toHaveLength(1);
      await expect(store.gc({ breakLease: 'ab'.repeat(16) })).rejects.toMatchObject({ code: 'CAIRN_INVALID_ARGUMENT' });
      expect(await store.gc({ breakLease: blockedBy[0]!.lease })).toMatchObject({ waiting: 0, blockedBy: [] });
      expect(await store.verify({ readData: true })).toMatchObject({ ok: true, damage: [] });
      expect((await store.usage()).stored).toBeLessThan(100_000);
    });
  });

  test('are not taken for those of a later process of the same number, in the same namespace', async () => {
    const collector = fileURLToPath(new URL('../support/collector.mjs', import.meta.url));
    const input = JSON.stringify({ dir, rounds: 2 });
    // The number of a process that was killed is given to the collector.
    const script = join(tempDir(), 'script');
    writeFileSync(
      script,
      [
        // Something that says nothing, and does not end.
        `mkfifo ${script}.fifo`,
        `"$0" "$1" "$2" 0<>${script}.fifo & p=$!`,
        'read order',
        'kill -9 $p; wait $p 2>/dev/null',
        'echo $((p - 1)) > /proc/sys/kernel/ns_last_pid',
        `"$0" '${collector}' '${input}' & q=$!`,
        '[ $q = $p ] || { echo "number $q is not $p" >&2; exit 1; }',
        'wait $q',
      ].join('\n'),
    );
    const child = Child.start('drafter.mjs', draft(), `${INTO_NAMESPACE} sh -c '. ${script}' "$0" "$@"`);
    await child.hears(({ say }) => say === 'ready');
    const [lease] = readdirSync(join(dir, 'leases'));
    expect(lease).toBeDefined();
    await inStore(takeAway);
    child.tell({ order: 'collect' });
    const said = await child.succeeds();
    const reports = said.filter(({ say }) => say === 'done').map(({ report }) => report as GcReport);
    expect(reports).toHaveLength(2);
    for (const report of reports) expect(report.blockedBy).toEqual([]);
    expect(readdirSync(join(dir, 'leases'))).not.toContain(lease);
    await inStore(async (store) => {
      expect(await store.verify({ readData: true })).toMatchObject({ ok: true, damage: [] });
      expect((await store.usage()).stored).toBeLessThan(100_000);
    });
  });
});

test('a mount that a process in another pid namespace owns is not taken from it, also by one of the same number; others work through it; when it is gone, by hand', async () => {
  const shown = join(tempDir(), 'shown');
  const input = { store: dir, volume: 'v', folder: shown, stay: true };
  const owner = inNamespace('mounter.mjs', input);
  expect(await owner.hears(({ say }) => say === 'mounted')).toMatchObject({ pid: 1 });
  const mountHere = (): Promise<unknown> => inStore(async (store) => (await (await store.volumes.fromName('v')).mount(shown)).close());
  expect(await failure(mountHere())).toMatchObject({ code: 'CAIRN_MOUNT_OWNED', pid: 1 });
  const refused = async (child: Child): Promise<void> => {
    const { code, stderr } = await child.ended;
    expect(code).not.toBe(0);
    expect(stderr).toContain("code: 'CAIRN_MOUNT_OWNED'");
  };
  await refused(secondInNamespace('mounter.mjs', input));

  edit(shown, { mine: 'mine' });
  const far = await openMount(shown);
  expect(await far.status()).toMatchObject({ added: ['mine'], ownerPid: 1 });
  expect(await far.commit()).toMatchObject({ added: 1 });
  await far.close();

  edit(shown, { mine: 'edited' });
  await owner.kill();
  await refused(inNamespace('mounter.mjs', input));
  const { hint } = (await failure(mountHere())) as { hint: string };
  const claim = /remove '([^']+)'/.exec(hint)![1]!;
  rmSync(claim);
  await inStore(async (store) => {
    const volume = await store.volumes.fromName('v');
    const mount = await volume.mount(shown);
    expect(await mount.status()).toMatchObject({ added: [], modified: ['mine'], removed: [] });
    expect(folder(shown)).toMatchObject({ mine: 'edited' });
    await mount.close();
  });
});
