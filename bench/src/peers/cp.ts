import { join } from 'node:path';
import type { Peer } from './peer.js';

/** A plain copy of all bytes (never a reflink), made durable: the least that any first store has to do. */
export const cp: Peer = {
  name: 'cp',
  settings: 'full copy (`--reflink=never`), then `sync -f`',
  store: (source, repo, label) => ({
    show: 'cp -r --reflink=never SOURCE REPO && sync -f REPO',
    argv: ['sh', '-c', 'cp -r --reflink=never -- "$1" "$2" && sync -f "$2"', 'sh', source, join(repo, label)],
  }),
  restore: (repo, label, target) => ({
    show: 'cp -r --reflink=never SOURCE/. TARGET',
    argv: ['cp', '-r', '--reflink=never', '--', `${join(repo, label)}/.`, target],
  }),
};
