import { join } from 'node:path';
import type { Command } from './run-command.js';
import type { Peer } from './peer.js';

/** https://restic.readthedocs.io. It always encrypts; compression is a choice. */
function resticWith(name: string, settings: string, compression: readonly string[]): Peer {
  const backup = (source: string, repo: string, force: readonly string[]): Command => ({
    show: ['restic', 'backup', '-r REPO', ...compression, ...force, '.'].join(' '),
    argv: ['restic', 'backup', ...common(repo), ...compression, ...force, '.'],
    cwd: source,
    env: PASSWORD,
  });
  return {
    name,
    settings,
    init: (repo) => ({ show: 'restic init -r REPO', argv: ['restic', 'init', ...common(repo)], env: PASSWORD }),
    store: (source, repo) => backup(source, repo, []),
    storeAgain: (source, repo) => backup(source, repo, ['--force']),
    restore: (repo, _label, target) => ({
      show: 'restic restore latest -r REPO --target TARGET',
      argv: ['restic', 'restore', 'latest', ...common(repo), '--target', target],
      env: PASSWORD,
    }),
    check: (repo) => ({
      show: 'restic check --read-data -r REPO',
      argv: ['restic', 'check', '--read-data', ...common(repo)],
      env: PASSWORD,
    }),
  };
}

export const restic = resticWith('restic', 'default settings (compression auto; encryption cannot be switched off); syncs by itself', []);
export const resticUncompressed = resticWith('restic, no compression', '`--compression off`: its fastest; syncs by itself', [
  '--compression',
  'off',
]);

/** The repository holds generated data only. */
const PASSWORD = { RESTIC_PASSWORD: 'bench' };

function common(repo: string): string[] {
  return ['-q', '-r', repo, '--cache-dir', join(repo, '..', 'restic-cache')];
}
