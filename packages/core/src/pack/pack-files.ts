import fs from 'node:fs';
import { isCairnError } from '../errors.js';
import type { PackId } from './pack-id.js';
import { openPack, readExactly } from './read-footer.js';
import type { StoreLayout } from './store-layout.js';

/** Open packs for reading, at most `maxOpen` of them: the one read longest ago makes room. Used by one thread, synchronously. */
export class PackFiles {
  private readonly layout: StoreLayout;
  private readonly maxOpen: number;
  /** In order of last use. */
  private readonly open = new Map<PackId, number>();

  constructor(layout: StoreLayout, maxOpen = 64) {
    this.layout = layout;
    this.maxOpen = maxOpen;
  }

  /**
   * A descriptor for a read at once: the next call may close it.
   *
   * @throws DamageError (kind `pack`) when the file is missing. A reader then asks the index again: the pack may have been collected.
   */
  fd(id: PackId): number {
    const known = this.open.get(id);
    if (known !== undefined) {
      this.open.delete(id);
      this.open.set(id, known);
      return known;
    }
    while (this.open.size >= this.maxOpen) this.forget(this.open.keys().next().value!);
    const fd = this.openOrMakeRoom(id);
    this.open.set(id, fd);
    return fd;
  }

  /**
   * `length` bytes of a pack from `offset`, at the start of `target` where one is given.
   *
   * @throws DamageError (kind `pack`) when the file is missing or ends before.
   */
  readSync(id: PackId, offset: number, length: number, target?: Uint8Array): Uint8Array {
    return readExactly(this.fd(id), id, offset, length, target);
  }

  /** Closes one pack, before it is moved or deleted. */
  forget(id: PackId): void {
    const fd = this.open.get(id);
    if (fd === undefined) return;
    this.open.delete(id);
    fs.closeSync(fd);
  }

  closeAll(): void {
    for (const id of [...this.open.keys()]) this.forget(id);
  }

  /** When the process has run out of descriptors, ours are the ones to give up first. */
  private openOrMakeRoom(id: PackId): number {
    try {
      return openPack(this.layout.packPath(id), id);
    } catch (error) {
      if (!isCairnError(error, 'EMFILE') || this.open.size === 0) throw error;
      this.closeAll();
      return openPack(this.layout.packPath(id), id);
    }
  }
}
