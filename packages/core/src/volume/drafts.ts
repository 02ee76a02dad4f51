import type { ContentRef } from '../content/content.js';
import type { NodeSink, NodeSource } from '../objects/node-store.js';
import { toNanoseconds } from '../util/time.js';
import { Draft } from './draft.js';
import type { Engine } from './engine.js';
import type { WorkingTree } from './working-tree.js';

/** A large write goes in by pieces of this size, so that it never lies in memory twice as a whole. */
const PIECE_BYTES = 4 << 20;

interface OpenDraft {
  draft: Draft;
  /** Undefined once the file was removed: whoever has it open goes on with a file that nobody else sees. */
  path: string | undefined;
  users: number;
}

/** A draft as its user holds it. Calls run inside the handle's edit sections. */
export interface SharedDraft {
  readonly size: number;
  read(position: number, target: Uint8Array): Promise<number>;
  write(position: number, data: Uint8Array): Promise<void>;
  truncate(size: number): Promise<void>;
  /** Puts what was written into the tree. */
  settle(): Promise<void>;
  release(): void;
}

/** The files of a handle that are being edited in place: one draft a path, shared by all who have it open. */
export class Drafts {
  private readonly engine: Engine;
  private readonly nodes: NodeSource & NodeSink;
  private readonly tree: WorkingTree;
  private readonly all = new Set<OpenDraft>();

  constructor(engine: Engine, nodes: NodeSource & NodeSink, tree: WorkingTree) {
    this.engine = engine;
    this.nodes = nodes;
    this.tree = tree;
  }

  /** Whether something was written that is not in the tree yet. */
  get dirty(): boolean {
    for (const open of this.all) if (open.path !== undefined && open.draft.dirty) return true;
    return false;
  }

  /** Whether no file is open, and nothing waits to be put into the tree. */
  get none(): boolean {
    return this.all.size === 0;
  }

  open(path: string, content: ContentRef): SharedDraft {
    const open = this.at(path) ?? { draft: new Draft(this.engine, this.nodes, content), path, users: 0 };
    this.all.add(open);
    open.users++;
    const { draft } = open;
    return {
      get size() {
        return draft.size;
      },
      read: (position, target) => draft.read(position, target),
      write: async (position, data) => {
        for (let done = 0; done < data.byteLength; done += PIECE_BYTES) {
          draft.write(position + done, data.subarray(done, done + PIECE_BYTES));
          if (draft.full) await this.store(open);
        }
      },
      truncate: async (size) => {
        await draft.truncate(size);
        await this.store(open);
      },
      settle: () => this.store(open),
      release: () => {
        // Unsettled bytes stay for the next reader of the tree to settle: small appends gather.
        open.users--;
        this.forget(open);
      },
    };
  }

  /** Puts everything written into the tree. */
  async settle(): Promise<void> {
    for (const open of [...this.all]) await this.store(open);
  }

  /** A file was replaced as a whole. */
  replace(path: string, content: ContentRef): void {
    const open = this.at(path);
    open?.draft.reset(content);
    if (open !== undefined) this.forget(open);
  }

  /** What open files refer to: kept even where the tree has no entry for it any more. */
  *contents(): Iterable<ContentRef> {
    for (const open of this.all) yield open.draft.content;
  }

  rename(from: string, to: string): void {
    if (from === to) return;
    this.remove(to);
    for (const open of this.all) {
      if (open.path === from || open.path?.startsWith(`${from}/`) === true) open.path = to + open.path.slice(from.length);
    }
  }

  remove(path: string): void {
    for (const open of this.all) {
      if (path === '' || open.path === path || open.path?.startsWith(`${path}/`) === true) open.path = undefined;
    }
  }

  /** The tree moved on to other contents: drafts follow it. All are settled, or their writes are to be dropped. */
  follow(): void {
    for (const open of this.all) {
      if (open.path === undefined) continue;
      const entry = this.tree.get(open.path);
      if (entry?.type === 'file') open.draft.reset(entry.content);
      else open.path = undefined;
      this.forget(open);
    }
  }

  private at(path: string): OpenDraft | undefined {
    for (const open of this.all) if (open.path === path) return open;
    return undefined;
  }

  private async store(open: OpenDraft): Promise<void> {
    const entry = open.path === undefined ? undefined : this.tree.get(open.path);
    const content = await open.draft.store();
    if (open.path !== undefined && entry?.type === 'file') {
      this.tree.put(open.path, { ...entry, content, mtimeNs: toNanoseconds(this.engine.now()) });
    }
    this.forget(open);
  }

  private forget(open: OpenDraft): void {
    if (open.users === 0 && (open.path === undefined || !open.draft.dirty)) this.all.delete(open);
  }
}
