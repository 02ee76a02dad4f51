import { onTestFinished } from 'vitest';
import { openDisk } from '../../packages/core/src/disk/open-disk.js';
import { type Digest } from '../../packages/core/src/hash/digest.js';
import { ObjectKind } from '../../packages/core/src/hash/object-kind.js';
import { editManifest } from '../../packages/core/src/manifest/edit.js';
import type { Entry, ManifestRoot } from '../../packages/core/src/manifest/entry.js';
import { walkTree } from '../../packages/core/src/manifest/read.js';
import { Staging } from '../../packages/core/src/objects/staging.js';
import { createStoreFolders } from '../../packages/core/src/pack/store-format.js';
import { StoreLayout } from '../../packages/core/src/pack/store-layout.js';
import { changeVolume } from '../../packages/core/src/publish/change-volume.js';
import { commit } from '../../packages/core/src/publish/commit.js';
import type { CommitOutcome, CommitRequest, PublishConfig } from '../../packages/core/src/publish/messages.js';
import { closeParts, openParts, type PublishParts } from '../../packages/core/src/publish/parts.js';
import { startUp } from '../../packages/core/src/publish/start-up.js';
import { newVolumeId, type VolumeId } from '../../packages/core/src/refs/ref-table.js';
import { decodeSnapshotRecord } from '../../packages/core/src/snapshot/record.js';
import { stagedBelow } from '../../packages/core/src/snapshot/staged-below.js';
import type { FaultyDiskOptions } from './faulty-disk.mjs';

const FAULTY = new URL('./faulty-disk.mjs', import.meta.url).href;

/** Files by path, with their content as text; null removes one; a trailing '/' makes a folder. */
export type Edits = Record<string, string | null>;

export async function makeStore(dir: string): Promise<void> {
  createStoreFolders(await openDisk({ durable: false }), new StoreLayout(dir));
}

/** What the publishing thread has, on this thread: one engine on a store. Closed with the test. */
export async function openRig(dir: string, faults?: FaultyDiskOptions, config: Partial<PublishConfig> = {}): Promise<Rig> {
  const disk = { durable: false, ...(faults === undefined ? {} : { module: FAULTY, options: faults }) };
  const rig = new Rig(await openParts({ dir, disk, hash: 'auto', compression: 'fast', ...config }, rigLease()));
  onTestFinished(() => rig.close());
  return rig;
}

/** What a publisher is told of a lease that no file tells of. */
export const noLease = (): { id: string; pendingEpoch: null } => ({ id: rigLease(), pendingEpoch: null });

let leases = 0;
const rigLease = (): string => (++leases).toString(16).padStart(32, '0');

export class Rig {
  readonly parts: PublishParts;
  private open = true;

  constructor(parts: PublishParts) {
    this.parts = parts;
  }

  start(): this {
    startUp(this.parts);
    return this;
  }

  async close(): Promise<void> {
    if (this.open) await closeParts(this.parts);
    this.open = false;
  }

  create(name: string): VolumeId {
    const volumeId = newVolumeId();
    changeVolume(this.parts, { type: 'volume-created', volumeId, name, createdAtMs: 1 }, {});
    return volumeId;
  }

  head(volumeId: VolumeId): { generation: number; root: ManifestRoot; snapshot: Digest | null } {
    this.parts.reader.refresh();
    const { generation, head } = this.parts.reader.volumeById(volumeId)!;
    const root = head === null ? null : decodeSnapshotRecord(this.parts.objects.get(ObjectKind.snapshot, head)).root;
    return { generation, root, snapshot: head };
  }

  /** Commits edits of `base`, which is the head unless told. */
  commit(volumeId: VolumeId, edits: Edits, options: Partial<CommitRequest> = {}): CommitOutcome {
    const base = options.base ?? this.head(volumeId);
    const { ours, objects } = this.edit(base.root, edits);
    return commit(this.parts, { ...orderOf(volumeId, base, ours), pendingEpoch: null, ...options }, objects);
  }

  edit(root: ManifestRoot, edits: Edits): { ours: ManifestRoot; objects: CommitRequest['objects'] } {
    const staging = new Staging(this.parts.objects, this.parts.hasher);
    return editTree(staging, root, edits);
  }

  /** The head's files and their contents. */
  files(volumeId: VolumeId): Edits {
    const found: Edits = {};
    for (const [path, entry] of walkTree(this.parts.objects, this.head(volumeId).root, '')) {
      if (entry.type === 'file') found[path] = Buffer.from(this.parts.objects.get(ObjectKind.chunk, entry.content.root)).toString();
      else found[`${path}/`] = '';
    }
    return found;
  }
}

export function editTree(staging: Staging, root: ManifestRoot, edits: Edits): { ours: ManifestRoot; objects: CommitRequest['objects'] } {
  const entries = Object.entries(edits).map(([path, text]): [string, Entry | null] => {
    if (text === null) return [path, null];
    if (path.endsWith('/')) return [path.slice(0, -1), { type: 'directory', mtimeNs: 0n }];
    const bytes = new TextEncoder().encode(text);
    const content = { height: 0, root: staging.put(ObjectKind.chunk, bytes), length: bytes.byteLength };
    return [path, { type: 'file', executable: false, mtimeNs: 0n, content }];
  });
  const ours = editManifest(staging, staging, root, new Map(entries));
  return { ours, objects: [...stagedBelow(staging, ours)] };
}

export function orderOf(
  volumeId: VolumeId,
  base: { generation: number; root: ManifestRoot },
  ours: ManifestRoot,
): Omit<CommitRequest, 'objects'> {
  return {
    volumeId,
    base: { generation: base.generation, root: base.root },
    ours,
    message: '',
    metadata: {},
    createdAtMs: 1,
    newBytes: 0,
    keepUnchanged: false,
    policy: 'last-write-wins',
    refuseFileOverFolder: false,
  };
}
