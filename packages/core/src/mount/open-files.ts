import fs from 'node:fs';

const ACCESS_MODE = 0o3;

/**
 * Inodes of the files below a folder that some process has open for writing, as far as the system tells: on Linux, of the
 * processes that this one may look at; elsewhere none.
 */
export function openForWriting(dir: string): Set<bigint> {
  const inodes = new Set<bigint>();
  if (process.platform !== 'linux') return inodes;
  for (const pid of list('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    for (const fd of list(`/proc/${pid}/fd`)) {
      const inode = writtenInode(`/proc/${pid}`, fd, `${dir}/`);
      if (inode !== undefined) inodes.add(inode);
    }
  }
  return inodes;
}

/** Processes and descriptors vanish while one looks; what cannot be looked at is passed over. */
function writtenInode(process: string, fd: string, prefix: string): bigint | undefined {
  try {
    if (!fs.readlinkSync(`${process}/fd/${fd}`).startsWith(prefix)) return undefined;
    const flags = /^flags:\s*([0-7]+)/m.exec(fs.readFileSync(`${process}/fdinfo/${fd}`, 'latin1'))?.[1];
    if (flags === undefined || (parseInt(flags, 8) & ACCESS_MODE) === fs.constants.O_RDONLY) return undefined;
    // Of the open file itself, whatever its name leads to by now.
    return fs.statSync(`${process}/fd/${fd}`, { bigint: true }).ino;
  } catch {
    return undefined;
  }
}

function list(folder: string): string[] {
  try {
    return fs.readdirSync(folder);
  } catch {
    return [];
  }
}
