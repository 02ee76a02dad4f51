import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { withWorkFolder } from '../context.js';
import type { Dataset } from '../datasets/dataset.js';
import { bytesOnDisk, settle, warm } from '../measure/conditions.js';
import { interleave } from '../measure/rounds.js';
import type { Contestant } from '../measure/rounds.js';
import type { Peer } from '../peers/peer.js';
import { runCommand } from '../peers/run-command.js';
import { Subject } from '../subject/client.js';
import { ratio, value } from './findings.js';
import type { Measurement, Row, Series } from './row.js';
import { initialise, repository } from './tools.js';

const CAIRN = 'cairn, in process, 2 workers';
const MAX = 'cairn, in process, 2 workers, compression max';

export const versionsRow: Row = {
  id: 'versions',
  title: 'Published models, version after version',
  async measure(context) {
    const { flags, library, peers, log } = context;
    const { description, versions } = await library.versions(flags.quick);
    const bytes = versions.reduce((sum, version) => sum + version.bytes, 0);
    return withWorkFolder(context, 'versions', async (dir) => {
      await using fast = new Subject();
      await using max = new Subject();
      const sizes = new Map<string, number>();
      const time = await interleave({ title: 'Time for all versions', unit: 'ms', rounds: flags.rounds, bytes, log }, [
        byCairn(fast, CAIRN, 'fast', join(dir, 'fast'), versions, sizes),
        byCairn(max, MAX, 'max', join(dir, 'max'), versions, sizes),
        ...peers.available.map((peer) => byPeer(peer, dir, versions, sizes)),
      ]);
      const measurements = time.measurements.map(({ name, ours }): Measurement => ({
        name,
        ours,
        samples: [(sizes.get(name) ?? 0) / bytes],
      }));
      const size: Series = { title: 'Bytes on disk, of those put in', unit: 'of logical', measurements };
      return {
        dataset: `${description}; ${versions.reduce((sum, version) => sum + version.files, 0)} files in all`,
        method:
          'All versions are stored one after the other, a commit, archive or snapshot each, into one new store or repository, everything durable; source in the page cache. Replaced files count once per version that has them in the bytes put in.',
        series: [size, time],
        findings: [
          ...value(size, CAIRN, 'bytes on disk'),
          ...['borg', 'restic', 'casync'].flatMap((peer) => ratio(size, CAIRN, peer, `bytes on disk over those of ${peer}`)),
          ...['borg', 'restic', 'casync'].flatMap((peer) => ratio(time, peer, CAIRN, `times as fast as ${peer}`)),
        ],
        missing: peers.missing,
      };
    });
  },
};

/** Every version is put over the one before, as the new content of one volume. */
function byCairn(
  subject: Subject,
  name: string,
  compression: 'fast' | 'max',
  dir: string,
  versions: readonly Dataset[],
  sizes: Map<string, number>,
): Contestant {
  return {
    name,
    ours: true,
    async prepare() {
      await subject.call('closeStore', dir);
      await rm(dir, { recursive: true, force: true });
      await subject.call('openStore', dir, { workers: 2, compression });
      await prepareSources(dir, versions);
    },
    async run() {
      let elapsed = 0;
      for (const version of versions) elapsed += await subject.call('storeFolder', dir, version.dir);
      return elapsed;
    },
    async check() {
      await subject.call('closeStore', dir);
      sizes.set(name, await bytesOnDisk(dir));
    },
  };
}

function byPeer(peer: Peer, dir: string, versions: readonly Dataset[], sizes: Map<string, number>): Contestant {
  const repo = repository(dir, peer);
  return {
    name: peer.name,
    command: peer.store('', repo, '').show,
    async prepare() {
      await initialise(peer, repo);
      await prepareSources(dir, versions);
    },
    async run() {
      let elapsed = 0;
      for (const [index, version] of versions.entries()) elapsed += await runCommand(peer.store(version.dir, repo, `version-${index}`));
      return elapsed;
    },
    async check() {
      sizes.set(peer.name, await bytesOnDisk(repo));
    },
  };
}

async function prepareSources(dir: string, versions: readonly Dataset[]): Promise<void> {
  for (const version of versions) await warm(version.dir);
  await settle(
    join(dir, '..'),
    versions.reduce((sum, version) => sum + version.bytes, 0),
  );
}
