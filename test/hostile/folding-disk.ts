import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const IMAGE_BYTES = 64 << 20;

interface Kind {
  needs: string;
  package: string;
  make(image: string): void;
  mount(image: string, at: string): void;
}

/** File systems that take names of other case for the same, by what most kernels have. */
const KINDS: Kind[] = [
  {
    needs: 'mkfs.ext4',
    package: 'e2fsprogs',
    make: (image) => void execFileSync('mkfs.ext4', ['-q', '-O', 'casefold', '-E', 'encoding=utf8', image], { stdio: 'pipe' }),
    mount(image, at) {
      execFileSync('mount', ['-o', 'loop', image, at], { stdio: 'pipe' });
      mkdirSync(join(at, 'folds'));
      execFileSync('chattr', ['+F', join(at, 'folds')], { stdio: 'pipe' });
    },
  },
  {
    needs: 'lowntfs-3g',
    package: 'ntfs-3g',
    make: (image) => void execFileSync('mkfs.ntfs', ['-q', '-F', image], { stdio: 'pipe' }),
    mount(image, at) {
      execFileSync('lowntfs-3g', ['-o', 'ignore_case', image, at], { stdio: 'pipe' });
      mkdirSync(join(at, 'folds'));
    },
  },
];

/** A folder of a file system of its own that folds names, or why there is none on this machine. `remove` unmounts it. */
export function foldingDisk(): { dir: string; remove: () => void } | { reason: string } {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return { reason: 'only root on Linux may mount a file system' };
  const reasons: string[] = [];
  for (const kind of KINDS) {
    const root = mkdtempSync(join(tmpdir(), 'cairn-test-folds-'));
    const [image, at] = [join(root, 'image'), join(root, 'mnt')];
    const remove = (): void => {
      spawnSync('umount', ['-l', at]);
      rmSync(root, { recursive: true, force: true });
    };
    try {
      if (spawnSync(kind.needs, ['-V']).error !== undefined) install(kind.package);
      writeFileSync(image, '');
      truncateSync(image, IMAGE_BYTES);
      mkdirSync(at);
      kind.make(image);
      kind.mount(image, at);
      const dir = join(at, 'folds');
      writeFileSync(join(dir, 'Name'), '');
      if (!existsSync(join(dir, 'name'))) throw new Error('it does not fold names');
      rmSync(join(dir, 'Name'));
      return { dir, remove };
    } catch (error) {
      reasons.push(`${kind.needs}: ${(error as Error).message.split('\n')[0]}`);
      remove();
    }
  }
  return { reason: reasons.join('; ') };
}

/** On a machine that is there for tests only, what is missing may be installed. */
function install(name: string): void {
  if (process.env['CI'] === undefined) return;
  console.warn(`installing ${name}`);
  spawnSync('apt-get', ['install', '--yes', '--quiet', '--no-install-recommends', name]);
}
