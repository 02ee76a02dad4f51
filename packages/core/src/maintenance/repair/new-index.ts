import { IndexEnvironment } from '../../index/environment.js';
import { IndexReader } from '../../index/reader.js';
import { refTableOf } from '../../index/ref-table.js';
import { IndexTransaction, KEYS_PER_TRANSACTION, writeIndex } from '../../index/transaction.js';
import { ObjectKind } from '../../hash/object-kind.js';
import type { SealedPack } from '../../pack/footer.js';
import { rowCount, rows } from '../../pack/object-table.js';
import type { RefTable } from '../../refs/ref-table.js';

/** Packs of a repair belong to nobody: what no snapshot refers to is for the next collection. */
const NO_OWNER = '';

/** An index that is being made beside the one in use. */
export class NewIndex {
  readonly reader: IndexReader;
  private readonly env: IndexEnvironment;

  constructor(dir: string, durable: boolean) {
    this.env = IndexEnvironment.open(dir, { durable });
    this.reader = new IndexReader(this.env);
  }

  addPack(pack: SealedPack): void {
    const count = rowCount(pack.table);
    const hasNodes = [...rows(pack.table)].some(({ kind }) => kind !== ObjectKind.chunk);
    for (let from = 0; from < count || from === 0; from += KEYS_PER_TRANSACTION) {
      writeIndex(this.env, (transaction) => {
        transaction.putPack(pack, NO_OWNER);
        // Before its first object: what its nodes refer to may have been collected, so that nothing new may be built on them.
        if (from === 0 && hasNodes) transaction.keepPacks([pack.id]);
        transaction.putObjects(pack.id, pack.table, from, Math.min(count, from + KEYS_PER_TRANSACTION));
      });
    }
    this.reader.refresh();
  }

  /** Heads, histories, names and tags, in place of those that it has. */
  setRefs(table: RefTable): void {
    writeIndex(this.env, (transaction) => transaction.restoreRefs(table));
    this.reader.refresh();
  }

  /**
   * Has all refs written down once more, by a change with a number of its own, under the lock that whoever opens this index from now on
   * takes, too. `write` gets the number of the last change and what it led to, and gives that of the new one; undefined: nothing was written.
   */
  writeDown(write: (table: RefTable) => number | undefined): void {
    this.env.transaction(() => {
      const transaction = new IndexTransaction(this.env);
      const seq = write(refTableOf(transaction.reader));
      if (seq !== undefined) transaction.updateState({ seq });
    });
  }

  close(): Promise<void> {
    return this.env.close();
  }
}
