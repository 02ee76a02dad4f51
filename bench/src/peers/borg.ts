import { join } from 'node:path';
import type { Peer } from './peer.js';

/** https://borgbackup.readthedocs.io */
export const borg: Peer = {
  name: 'borg',
  settings: 'no compression, no encryption: its fastest; syncs by itself',
  init: (repo) => ({ show: 'borg init -e none REPO', argv: ['borg', 'init', '--encryption', 'none', repo], env: environment(repo) }),
  store: (source, repo, label) => ({
    show: 'borg create --compression none REPO::A .',
    argv: ['borg', 'create', '--compression', 'none', `${repo}::${label}`, '.'],
    cwd: source,
    env: environment(repo),
  }),
  storeAgain: (source, repo, label) => ({
    show: 'borg create --compression none --files-cache disabled REPO::B .',
    argv: ['borg', 'create', '--compression', 'none', '--files-cache', 'disabled', `${repo}::${label}`, '.'],
    cwd: source,
    env: environment(repo),
  }),
  restore: (repo, label, target) => ({
    show: 'borg extract REPO::A',
    argv: ['borg', 'extract', `${repo}::${label}`],
    cwd: target,
    env: environment(repo),
  }),
  check: (repo) => ({
    show: 'borg check --verify-data REPO',
    argv: ['borg', 'check', '--verify-data', repo],
    env: environment(repo),
  }),
};

/** Caches and locks beside the repository, so that every repository starts with empty ones; and no questions. */
function environment(repo: string): Record<string, string> {
  return {
    BORG_BASE_DIR: join(repo, '..', 'borg-home'),
    BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: 'yes',
    BORG_RELOCATED_REPO_ACCESS_IS_OK: 'yes',
  };
}
