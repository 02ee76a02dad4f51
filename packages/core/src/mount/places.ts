import { join } from 'node:path';
import type { Brand } from '../util/brand.js';

/** Identity of a mount: 32 hex digits, random. */
export type MountId = Brand<string, 'MountId'>;

/** The name that belongs to mounts, in every folder: never scanned, and never a name of a volume's file. */
export const RESERVED_NAME = '.cairn-mount';

export function isMountId(text: unknown): text is MountId {
  return typeof text === 'string' && /^[0-9a-f]{32}$/.test(text);
}

/** Characters that some file systems pass over in names. */
const IGNORED = /[\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]/g;

/** Whether a path holds the reserved name, or one that some file system takes for it. */
export function isReserved(path: string): boolean {
  if (!/cairn-mount|[^\u0020-\u007e]/i.test(path)) return false;
  return path.replace(IGNORED, '').normalize('NFKC').toLowerCase().split('/').includes(RESERVED_NAME);
}

/** Where a mount keeps its state: pure names, drawn in docs/format.md. */
export class StatePlaces {
  readonly dir: string;
  readonly state: string;

  constructor(mountsDir: string, id: MountId) {
    this.dir = join(mountsDir, id);
    this.state = join(this.dir, 'state');
  }
}

/** Names within the folder itself, all of them below the reserved one: same file system, so that files can be moved in and out. */
export class FolderPlaces {
  readonly dir: string;
  readonly reserved: string;
  /** Says which mount this folder is. */
  readonly idFile: string;
  /** Files on their way in, by number. */
  readonly incoming: string;
  /** Files that were just replaced, by their path in the folder, until it is certain that nobody edited them meanwhile. */
  readonly aside: string;

  constructor(dir: string) {
    this.dir = dir;
    this.reserved = join(dir, RESERVED_NAME);
    this.idFile = join(this.reserved, 'id');
    this.incoming = join(this.reserved, 'incoming');
    this.aside = join(this.reserved, 'aside');
  }

  /** The place of a path of the mount. */
  local(path: string): string {
    return path === '' ? this.dir : `${this.dir}/${path}`;
  }

  asideOf(path: string): string {
    return `${this.aside}/${path}`;
  }
}
