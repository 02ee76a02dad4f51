import { join } from 'node:path';
import type { Command } from './run-command.js';
import type { Peer } from './peer.js';

/** https://github.com/systemd/casync: content-defined chunks, one compressed file each; it keeps no cache, so storing again always reads all. */
export const casync: Peer = {
  name: 'casync',
  settings: 'default settings (zstd); it does not sync, so `sync -f` follows',
  store: make,
  storeAgain: make,
  restore: (repo, label, target) => ({
    show: 'casync extract --store=REPO/chunks REPO/A.caidx TARGET',
    argv: ['casync', 'extract', `--store=${join(repo, 'chunks')}`, join(repo, `${label}.caidx`), target],
  }),
};

function make(source: string, repo: string, label: string): Command {
  return {
    show: 'casync make --store=REPO/chunks REPO/A.caidx SOURCE && sync -f REPO',
    argv: [
      'sh',
      '-c',
      'casync make --store="$1" "$2" "$3" && sync -f "$4"',
      'sh',
      join(repo, 'chunks'),
      join(repo, `${label}.caidx`),
      source,
      repo,
    ],
  };
}
