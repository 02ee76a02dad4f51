import fs from 'node:fs';
import { reads } from '../disk/reads.js';
import { wrapIoError } from '../errors.js';
import { damagedPack } from '../pack/footer.js';
import type { PackId } from '../pack/pack-id.js';
import type { StoreLayout } from '../pack/store-layout.js';

/** Descriptors kept open for the next read. */
const MAX_IDLE = 16;

interface Handle {
  opening: Promise<number>;
  /** The descriptor, once open. */
  fd: number | undefined;
  users: number;
}

/** Packs read off the main thread: a descriptor is closed only when no read uses it. */
export class PackHandles {
  private readonly layout: StoreLayout;
  /** In order of last use. */
  private readonly open = new Map<PackId, Handle>();

  constructor(layout: StoreLayout) {
    this.layout = layout;
  }

  /**
   * Fills `target` from `offset` of a pack.
   * @throws DamageError (kind `pack`) when the file is missing or ends before.
   */
  async read(id: PackId, offset: number, target: Uint8Array): Promise<void> {
    const handle: Handle = this.open.get(id) ?? { opening: this.openPack(id), fd: undefined, users: 0 };
    this.open.delete(id);
    this.open.set(id, handle);
    handle.users++;
    try {
      const fd = (handle.fd = await handle.opening);
      for (let done = 0; done < target.byteLength;) {
        const bytesRead = await reads.read(fd, target, done, target.byteLength - done, offset + done);
        if (bytesRead === 0) throw damagedPack(id, `it ends before byte ${offset + target.byteLength}`);
        done += bytesRead;
      }
    } catch (error) {
      if (handle.fd === undefined && this.open.get(id) === handle) this.open.delete(id);
      throw wrapIoError(error, `cannot read pack ${id}`);
    } finally {
      handle.users--;
      this.trim(MAX_IDLE);
    }
  }

  /** Closes what no read uses. */
  close(): void {
    this.trim(0);
  }

  private trim(limit: number): void {
    for (const [id, { fd, users }] of this.open) {
      if (this.open.size <= limit) return;
      if (users > 0 || fd === undefined) continue;
      this.open.delete(id);
      fs.closeSync(fd);
    }
  }

  private async openPack(id: PackId): Promise<number> {
    const path = this.layout.packPath(id);
    try {
      return await reads.open(path).catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code !== 'EMFILE') throw error;
        // The process has run out of descriptors: those that are only kept for later are the first to go.
        this.trim(0);
        return reads.open(path);
      });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw damagedPack(id, 'the file is missing', error);
      throw error;
    }
  }
}
