import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const NAME = 'socket';
/** Longer ones are cut without a word: sun_path has 104 bytes on some systems, 108 on Linux. */
const MAX_PATH_BYTES = 100;

/**
 * A name of a mount's socket that is short enough to be bound or connected to, however deep the store lies. Valid until
 * `release`, which has to come after the server is closed: it removes its socket by that name.
 */
export function shortSocketPath(stateDir: string): { path: string; release: () => void } {
  const path = join(stateDir, NAME);
  if (Buffer.byteLength(path) <= MAX_PATH_BYTES) return { path, release: () => undefined };
  if (process.platform === 'linux') {
    const fd = fs.openSync(stateDir, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
    return { path: `/proc/self/fd/${fd}/${NAME}`, release: () => fs.closeSync(fd) };
  }
  const link = join(tmpdir(), `cairn-${randomBytes(6).toString('hex')}`);
  fs.symlinkSync(stateDir, link);
  return { path: join(link, NAME), release: () => fs.rmSync(link, { force: true }) };
}
