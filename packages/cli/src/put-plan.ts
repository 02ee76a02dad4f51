import { basename, resolve } from 'node:path';
import { UsageError } from './errors.js';
import { parseTarget, withoutTrailingSlash } from './place.js';

/** Where a local path would stand for standard input. */
export const STDIN = '-';

export interface Upload {
  local: string;
  remote: string;
}

/** What `put` will store where, from its arguments alone. */
export function planPut(volumeText: string, paths: string[], targetDirectory: string | undefined): { volume: string; uploads: Upload[] } {
  const { volume, path } = parseTarget(volumeText);
  const [first = '', second, ...others] = paths;
  if (targetDirectory !== undefined) {
    if (path !== undefined) throw new UsageError('two destinations', `give either ${volumeText} or --target-directory`);
    return { volume, uploads: paths.map((local) => upload(local, folder(targetDirectory))) };
  }
  if (others.length > 0 || (path !== undefined && second !== undefined)) {
    throw new UsageError('too many paths', `several files go into one folder: cairn put ${volume} -t DIR LOCAL…`);
  }
  return { volume, uploads: [upload(first, path ?? second ?? '/')] };
}

/** A remote that ends in `/` is a folder, and takes the name of what is put into it. */
function upload(local: string, remote: string): Upload {
  if (!remote.endsWith('/')) return { local, remote };
  if (local === STDIN) throw new UsageError('standard input has no name', 'give the whole remote path: cairn put VOL - /PATH/NAME');
  // As for `cp -r`: a folder by its name goes in as that name, `.` means what is in it.
  const isContents = /(^|\/)\.{1,2}$/.test(withoutTrailingSlash(local));
  return { local, remote: isContents ? withoutTrailingSlash(remote) : folder(remote) + basename(resolve(local)) };
}

function folder(path: string): string {
  return path.replace(/\/*$/, '/');
}
