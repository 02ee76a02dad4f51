import path from 'node:path';
import { isPackId, type PackId } from './pack-id.js';

/** Where everything of a store lies: pure names, drawn in docs/format.md. */
export class StoreLayout {
  readonly dir: string;
  readonly formatPath: string;
  readonly packsDir: string;
  readonly incomingDir: string;
  readonly refsDir: string;
  readonly indexDir: string;
  readonly mountsDir: string;
  readonly leasesDir: string;
  readonly reservePath: string;
  readonly quarantineDir: string;

  constructor(dir: string) {
    this.dir = path.resolve(dir);
    this.formatPath = path.join(this.dir, 'format');
    this.packsDir = path.join(this.dir, 'packs');
    this.incomingDir = path.join(this.packsDir, 'incoming');
    this.refsDir = path.join(this.dir, 'refs');
    this.indexDir = path.join(this.dir, 'index');
    this.mountsDir = path.join(this.dir, 'mounts');
    this.leasesDir = path.join(this.dir, 'leases');
    this.reservePath = path.join(this.dir, 'reserve');
    this.quarantineDir = path.join(this.dir, 'quarantine');
  }

  /** The name of a sealed pack's folder: 256 of them keep each one small. */
  packFolder(id: PackId): string {
    return id.slice(0, 2);
  }

  packDir(id: PackId): string {
    return path.join(this.packsDir, this.packFolder(id));
  }

  packPath(id: PackId): string {
    return path.join(this.packDir(id), `${id}.pack`);
  }

  /** The lease of one engine. */
  leasePath(id: string): string {
    return path.join(this.leasesDir, id);
  }

  /** A pack that `owner` (a lease id: letters, digits, `_`) is still writing. */
  incomingPath(owner: string, id: PackId): string {
    if (!/^\w+$/.test(owner)) throw new RangeError(`not an owner of packs: ${owner}`);
    return path.join(this.incomingDir, `${owner}-${id}.pack`);
  }
}

/** The id in a sealed pack's file name; undefined for any other name. */
export function packIdOfName(name: string): PackId | undefined {
  const id = name.slice(0, 32);
  return isPackId(id) && name === `${id}.pack` ? id : undefined;
}

/** The inverse of `incomingPath`'s last part; undefined for any other name. */
export function parseIncomingName(name: string): { owner: string; id: PackId } | undefined {
  const match = /^(\w+)-([0-9a-f]{32})\.pack$/.exec(name);
  return match === null ? undefined : { owner: match[1]!, id: match[2] as PackId };
}
