import type { Digest } from '../hash/digest.js';
import type { ManifestRoot } from '../manifest/entry.js';
import { getEntry, listFolder, walkTree } from '../manifest/read.js';
import type { NodeSource } from '../objects/node-store.js';
import type { Grip } from '../publish/own-lease.js';
import type { Snapshot, SnapshotInfo } from '../types.js';
import type { Engine } from './engine.js';
import type { Sight, TreeView } from './read-view.js';
import { View } from './read-view.js';

/** The tree under one manifest root. */
export function treeAt(nodes: NodeSource, root: ManifestRoot): TreeView {
  return {
    get: (path) => getEntry(nodes, root, path),
    list: (folder) => listFolder(nodes, root, folder),
    walk: (folder) => walkTree(nodes, root, folder),
  };
}

/** An immutable version of a volume. */
export class SnapshotView extends View implements Snapshot {
  readonly info: SnapshotInfo;
  /** Of its tree. */
  readonly root: ManifestRoot;
  protected readonly what = 'snapshot';
  private readonly id: Digest;
  private readonly tree: TreeView;
  private readonly pin: Grip;

  /** The caller has looked the snapshot up within a call. */
  constructor(engine: Engine, info: SnapshotInfo, { id, root }: { id: Digest; root: ManifestRoot }) {
    super(engine);
    this.id = id;
    this.pin = engine.lease.pin(id, this);
    this.info = info;
    this.root = root;
    this.tree = treeAt(engine.nodes, root);
  }

  override async close(): Promise<void> {
    await super.close();
    this.pin.release();
  }

  protected override held(user: object): Grip[] {
    return [this.engine.lease.pin(this.id, user)];
  }

  sight(): Promise<Sight> {
    return Promise.resolve({ tree: this.tree, nodes: this.engine.nodes });
  }
}
