import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

export type FileSystem = 'ext4' | 'xfs';

/** What a cut does with the file system's own journal: nothing more reaches the disk, or what it holds still does. */
export const CUTS = { dropped: 2, flushed: 1 } as const;

/** Sparse; xfs takes no less. */
const IMAGE_MIB = 320;

/** FS_IOC_SHUTDOWN: from then on the file system answers with EIO, and what it had not written is gone. */
const CUTTER = `
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
int main(int argc, char **argv) {
  uint32_t flag = (uint32_t)atoi(argv[2]);
  if (ioctl(open(argv[1], O_RDONLY), _IOR('X', 125, uint32_t), &flag) == 0) return 0;
  perror("FS_IOC_SHUTDOWN");
  return 1;
}
`;

/** Why no disk of this kind can be had on this machine; undefined where one can. */
export function whyNoLoopDisk(kind: FileSystem): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'only root on Linux may mount and shut down a file system';
  for (const [tool, ...args] of [
    [`mkfs.${kind}`, '-V'],
    ['mount', '-V'],
    ['cc', '--version'],
  ] as const)
    if (spawnSync(tool, args).error !== undefined && !install(tool)) return `${tool} is not installed`;
  const dir = mkdtempSync(join(tmpdir(), 'cairn-test-loop-'));
  try {
    return tryToMount(kind, dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** On a machine that is there for tests only, what is missing may be installed. */
function install(tool: string): boolean {
  const name = { 'mkfs.ext4': 'e2fsprogs', 'mkfs.xfs': 'xfsprogs', cc: 'gcc' }[tool];
  if (process.env['CI'] === undefined || name === undefined) return false;
  console.warn(`installing ${name}`);
  return spawnSync('apt-get', ['install', '--yes', '--quiet', '--no-install-recommends', name]).status === 0;
}

function tryToMount(kind: FileSystem, dir: string): string | undefined {
  makeImage(kind, join(dir, 'image'));
  mkdirSync(join(dir, 'mnt'));
  const { status, stderr } = spawnSync('mount', ['-o', 'loop', join(dir, 'image'), join(dir, 'mnt')], { encoding: 'utf8' });
  if (status !== 0) return `a loop device cannot be mounted here: ${stderr.trim()}`;
  execFileSync('umount', [join(dir, 'mnt')]);
  return undefined;
}

function makeImage(kind: FileSystem, path: string): void {
  const fd = openSync(path, 'wx');
  ftruncateSync(fd, IMAGE_MIB << 20);
  closeSync(fd);
  execFileSync(`mkfs.${kind}`, ['-q', path]);
}

/** A file system of its own in an image file, whose power can be cut. Gone with the test, whatever comes of it. */
export class LoopDisk {
  /** Where it is mounted. */
  readonly dir: string;
  private readonly image: string;
  private readonly cutter: string;

  constructor(kind: FileSystem) {
    const root = mkdtempSync(join(tmpdir(), 'cairn-test-loop-'));
    this.dir = join(root, 'mnt');
    this.image = join(root, 'image');
    this.cutter = join(root, 'cut');
    onTestFinished(() => {
      // A process that is about to be killed may still be in it; the device goes with its last user.
      spawnSync('umount', ['-l', this.dir]);
      rmSync(root, { recursive: true, force: true });
    });
    mkdirSync(this.dir);
    makeImage(kind, this.image);
    writeFileSync(`${this.cutter}.c`, CUTTER);
    execFileSync('cc', ['-O1', '-o', this.cutter, `${this.cutter}.c`]);
    this.mount();
  }

  /** Cuts the power: what was not synced is lost. Whoever uses the disk meets EIO. */
  cut(how: keyof typeof CUTS): void {
    execFileSync(this.cutter, [this.dir, String(CUTS[how])]);
  }

  /** The power is back. Nobody may be using the disk. */
  restart(): void {
    execFileSync('umount', [this.dir]);
    this.mount();
  }

  private mount(): void {
    execFileSync('mount', ['-o', 'loop', this.image, this.dir]);
  }
}
