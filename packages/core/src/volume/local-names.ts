import { InvalidPathError } from '../errors.js';
import type { Entry } from '../manifest/entry.js';
import { normalizePath, parentOf } from './paths.js';

/** What Windows takes for a device, a drive, a stream of a file, or another name than it reads. */
const WINDOWS_DEVICE = /^(con|prn|aux|nul|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3]|conin\$|conout\$|clock\$)( *[.:].*)?$/i;
// eslint-disable-next-line no-control-regex -- those are what must not be in a name
const WINDOWS_FORBIDDEN = /[<>:"|?*\u0000-\u001f]|[. ]$|~\d/;

/**
 * Checks the paths of a tree before they name anything on this disk: a store can come from a stranger, and manifests say nothing of
 * what a file system makes of a name.
 */
export class LocalNames {
  private readonly get: (path: string) => Entry | undefined;
  private readonly platform: NodeJS.Platform;
  private readonly folders = new Map<string, boolean>([['', true]]);

  /** @param get what the tree has at a path */
  constructor(get: (path: string) => Entry | undefined, platform: NodeJS.Platform = process.platform) {
    this.get = get;
    this.platform = platform;
  }

  /** @throws InvalidPathError for a path that is not in its one form, that lies in no folder of the tree, or that this system reads as something else */
  check(path: string): void {
    if (normalizePath(path) !== path) throw new InvalidPathError(path, 'it is not in its normal form');
    if (!this.isFolder(parentOf(path))) throw new InvalidPathError(path, 'what it lies in is no folder');
    if (this.platform === 'win32' && path.split('/').some((name) => WINDOWS_DEVICE.test(name) || WINDOWS_FORBIDDEN.test(name)))
      throw new InvalidPathError(path, 'a name in it means something else to Windows');
  }

  private isFolder(path: string): boolean {
    let known = this.folders.get(path);
    if (known === undefined) {
      known = this.get(path)?.type === 'directory' && this.isFolder(parentOf(path));
      this.folders.set(path, known);
    }
    return known;
  }
}
