import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Dataset } from '../datasets/dataset.js';
import { settle, warm } from '../measure/conditions.js';
import type { Contestant } from '../measure/rounds.js';
import type { Peer } from '../peers/peer.js';
import { runCommand } from '../peers/run-command.js';
import { checkFirst, emptyFolder } from './cairn.js';

/** Where a tool keeps its repository, with its caches beside it. */
export function repository(dir: string, peer: Peer): string {
  return join(dir, peer.name.replaceAll(/\W+/g, '-'), 'repo');
}

/** An empty repository. */
export async function initialise(peer: Peer, repo: string): Promise<void> {
  const home = join(repo, '..');
  await rm(home, { recursive: true, force: true });
  await mkdir(peer.init === undefined ? repo : home, { recursive: true });
  if (peer.init !== undefined) await runCommand(peer.init(repo));
}

/** First store of a folder into an empty repository. */
export function firstStoreBy(peer: Peer, dir: string, data: Dataset): Contestant {
  const repo = repository(dir, peer);
  const command = peer.store(data.dir, repo, 'first');
  return {
    name: peer.name,
    command: command.show,
    async prepare() {
      await initialise(peer, repo);
      await warm(data.dir);
      await settle(dir, data.bytes);
    },
    run: () => runCommand(command),
  };
}

/** Fills a repository for the rows that come after a first store. */
export async function fill(peer: Peer, dir: string, data: Dataset): Promise<void> {
  const repo = repository(dir, peer);
  await initialise(peer, repo);
  await runCommand(peer.store(data.dir, repo, 'first'));
}

/** Store of a folder that the repository holds already, for the tools that can. */
export function storeAgainBy(peer: Peer, dir: string, data: Dataset): Contestant[] {
  const repo = repository(dir, peer);
  const { storeAgain } = peer;
  if (storeAgain === undefined) return [];
  return [
    {
      name: peer.name,
      command: storeAgain(data.dir, repo, 'again').show,
      async prepare() {
        await warm(data.dir);
        await warm(repo);
        await settle(dir, 0);
      },
      run: (round) => runCommand(storeAgain(data.dir, repo, `again-${round}`)),
    },
  ];
}

/** Restore of a folder, repository in the page cache. */
export function restoreBy(peer: Peer, dir: string, data: Dataset): Contestant {
  const repo = repository(dir, peer);
  const target = join(repo, '..', 'restored');
  const command = peer.restore(repo, 'first', target);
  return {
    name: peer.name,
    command: command.show,
    async prepare() {
      await emptyFolder(target);
      await warm(repo);
      await settle(dir, data.bytes);
    },
    run: () => runCommand(command),
    check: (round) => checkFirst(round, data.dir, target),
  };
}

/** Check of all data of a repository in the page cache, by the tools that can. */
export function checkBy(peer: Peer, dir: string): Contestant[] {
  const repo = repository(dir, peer);
  const command = peer.check?.(repo);
  if (command === undefined) return [];
  return [
    {
      name: peer.name,
      command: command.show,
      async prepare() {
        await warm(repo);
        await settle(dir, 0);
      },
      run: () => runCommand(command),
    },
  ];
}
