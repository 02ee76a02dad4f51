import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import type { Disk } from '../disk/disk.js';
import { removeFile, tryRemove } from '../disk/trees.js';
import { MountOwnedError } from '../errors.js';
import { isDead, isProcessIdentity, type ProcessIdentity, thisProcess } from '../publish/process-identity.js';
import { readIfThere } from './durable-file.js';

const NAME = /^owner-[0-9a-f]{16}$/;
/** Two that come at the same moment see each other and both step back; who comes again first has it. */
const ATTEMPTS = 5;
const MAX_PAUSE_MS = 40;

/**
 * Makes this process the one that owns a mount; returns how to give it up. Everybody who wants to own it puts down a file of its
 * own, and owns it when there is no file of another living process then: of two, the later one sees the other.
 * @throws MountOwnedError
 */
export async function becomeOwner(disk: Disk, stateDir: string, folder: string): Promise<() => void> {
  const path = join(stateDir, `owner-${randomBytes(8).toString('hex')}`);
  const give = (): void => removeFile(disk, path);
  for (let attempt = 1; ; attempt++) {
    writeOwner(disk, path);
    const other = livingOwner(disk, stateDir, path);
    if (other === undefined) return give;
    give();
    if (attempt === ATTEMPTS) throw ownedBy(folder, other);
    await sleep(Math.random() * MAX_PAUSE_MS);
  }
}

/** The process that owns a mount, and the file that says so. */
export interface Owner extends ProcessIdentity {
  file: string;
}

export function ownedBy(folder: string, { pid, pidNamespace, file }: Owner): MountOwnedError {
  return new MountOwnedError(folder, pid, pidNamespace === thisProcess().pidNamespace ? undefined : file);
}

/** The living process that owns a mount, or is about to; files of dead ones are removed on the way when there is a `disk`. */
export function livingOwner(disk: Disk | undefined, stateDir: string, except?: string): Owner | undefined {
  const self = thisProcess();
  let living: Owner | undefined;
  for (const name of names(stateDir)) {
    const path = join(stateDir, name);
    if (path === except) continue;
    const owner = identityIn(path);
    if (owner === undefined) continue;
    if (!isDead(owner, self)) living = { ...owner, file: path };
    else if (disk !== undefined) removeFile(disk, path);
  }
  return living;
}

function names(stateDir: string): string[] {
  try {
    return fs.readdirSync(stateDir).filter((name) => NAME.test(name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function writeOwner(disk: Disk, path: string): void {
  const file = disk.create(path);
  try {
    const identity = thisProcess();
    file.writeSync(Buffer.from(JSON.stringify({ ...identity, check: checkOf(identity) })), 0);
    file.syncSync();
    file.closeSync();
  } catch (error) {
    // Whole or not, it must not look like an owner: this process goes on living.
    tryRemove(disk, path);
    file.closeSync();
    throw error;
  }
}

/** An altered digit could name a process that nobody can look at, which would count as alive as long as the machine runs. */
function checkOf({ pid, startTime, bootId, pidNamespace }: ProcessIdentity): number {
  return crc32(JSON.stringify([pid, startTime, bootId, pidNamespace]));
}

/**
 * Undefined for one that was just given up, for one that is damaged, and for one that is not written yet: that one sees ours when it is.
 */
function identityIn(path: string): ProcessIdentity | undefined {
  try {
    const bytes = readIfThere(path);
    const identity: unknown = bytes === undefined ? undefined : JSON.parse(Buffer.from(bytes).toString('utf8'));
    if (!isProcessIdentity(identity)) return undefined;
    const { check } = identity as { check?: unknown };
    return check === undefined || check === checkOf(identity) ? identity : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
