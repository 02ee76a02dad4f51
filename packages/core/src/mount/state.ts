import type { Digest } from '../hash/digest.js';
import { digestFromHex, digestToHex } from '../hash/digest.js';
import type { Hasher } from '../hash/hasher.js';
import { type Damage, DamageError, StoreFormatError } from '../errors.js';
import type { VolumeId } from '../index/records.js';
import type { ManifestRoot } from '../manifest/entry.js';
import type { Point } from '../volume/commit.js';
import { normalizePath } from '../volume/paths.js';
import { isMountId, type MountId } from './places.js';

/*
 * STORE/mounts/<id>/state, three lines of UTF-8:
 *
 *   cairn-mount 1
 *   {"id":…,"volume":…,"dir":…,…}
 *   blake3 <64 hex digits: digest of the lines above, line feeds included>
 */
const VERSION = 1;
/** A state names a folder, patterns and digests; anything larger is none. */
const MAX_STATE_BYTES = 1 << 20;

/** What is known of a mount, durably. Roots are of whole volumes; the folder shows what is below `subPath`. */
export interface MountState {
  readonly id: MountId;
  readonly volume: VolumeId;
  /** The folder as it was called when it was last used, and what it is: a copy of it has another inode. */
  readonly dir: string;
  readonly device: string;
  readonly inode: string;
  /** The boot in which files were last written and not synced; after another one they are read again. Empty where the system does not tell. */
  readonly bootId: string;
  readonly subPath: string;
  readonly readOnly: boolean;
  readonly ignore: readonly string[];
  /** What the folder holds, apart from what is not committed: the base of the next scan and of the next commit's merge. */
  readonly seen: ManifestRoot;
  /** The version that was last brought into the folder, or that the folder's commit became. */
  readonly base: { readonly generation: number; readonly snapshot: Digest | null };
  /** Commits of this mount that were merged with those of others since `base`. */
  readonly ownCommits: number;
  /** While the folder is on its way to another version. */
  readonly target?: Point | undefined;
  /** While a commit is on its way: what it publishes, and the generation of the head before it. */
  readonly pending?: { readonly generation: number; readonly root: ManifestRoot } | undefined;
}

/** The roots that a mount needs: a collection must keep what is below them. */
export function rootsOf(state: MountState): Digest[] {
  return [state.seen, state.target?.root, state.pending?.root].filter((root) => root !== null && root !== undefined);
}

export function encodeState(state: MountState, hasher: Hasher): Uint8Array {
  const { seen, base, target, pending, ...rest } = state;
  const json = {
    ...rest,
    seen: hex(seen),
    base: { ...base, snapshot: hex(base.snapshot) },
    ...(target === undefined ? {} : { target: { generation: target.generation, snapshot: hex(target.snapshot), root: hex(target.root) } }),
    ...(pending === undefined ? {} : { pending: { generation: pending.generation, root: hex(pending.root) } }),
  };
  const text = Buffer.from(`cairn-mount ${VERSION}\n${JSON.stringify(json)}\n`, 'utf8');
  return Buffer.concat([text, Buffer.from(`blake3 ${digestToHex(hasher.digest(text))}\n`, 'latin1')]);
}

/** @throws DamageError; StoreFormatError for what a newer version wrote. */
export function decodeState(bytes: Uint8Array, id: string, hasher: Hasher): MountState {
  if (bytes.byteLength > MAX_STATE_BYTES) throw damaged(id, 'it is too large', '');
  const text = Buffer.from(bytes).toString('utf8');
  const match = /^(cairn-mount (\d{1,9})\n(.*)\n)blake3 ([0-9a-f]{64})\n$/s.exec(text);
  if (match === null) throw damaged(id, 'it is not written as one of a mount is', text);
  const [, covered = '', version = '', json = '', digest] = match;
  if (digest !== digestToHex(hasher.digest(Buffer.from(covered, 'utf8')))) throw damaged(id, 'it does not match its checksum', text);
  // All versions end with their checksum: an altered number is damage, and no version.
  if (Number(version) !== VERSION)
    throw new StoreFormatError(`the mount ${id} has format version ${version}`, 'use it with a newer version of Cairn');
  try {
    return parsed(JSON.parse(json) as Record<string, unknown>, id);
  } catch (error) {
    throw damaged(id, 'it says nothing that a mount can be', text, error);
  }
}

/** What can still be read of a damaged state. None of it is proven, except where what it names is found in the store. */
export function remainsOf(text: string): { volume: string | undefined; seen: Digest | undefined; folder: string | undefined } {
  const seen = /"seen":"([0-9a-f]{64})"/.exec(text)?.[1];
  return {
    volume: /"volume":"([0-9a-f]{32})"/.exec(text)?.[1],
    seen: seen === undefined ? undefined : digestFromHex(seen),
    folder: folderIn(text),
  };
}

function folderIn(state: string): string | undefined {
  try {
    return text(JSON.parse(/"dir":("(?:[^"\\\n]|\\.)*")/.exec(state)?.[1] ?? ''));
  } catch {
    return undefined;
  }
}

function parsed(json: Record<string, unknown>, id: string): MountState {
  if (json['id'] !== id || !isMountId(json['id'])) throw new TypeError('another id');
  const base = json['base'] as Record<string, unknown>;
  const target = json['target'] as Record<string, unknown> | undefined;
  const pending = json['pending'] as Record<string, unknown> | undefined;
  return {
    id: json['id'],
    volume: volumeId(json['volume']),
    dir: text(json['dir']),
    device: text(json['device']),
    inode: text(json['inode']),
    bootId: text(json['bootId']),
    subPath: pathInVolume(json['subPath']),
    readOnly: json['readOnly'] === true,
    ignore: (json['ignore'] as unknown[]).map(text),
    seen: root(json['seen']),
    base: { generation: count(base['generation']), snapshot: root(base['snapshot']) },
    ownCommits: count(json['ownCommits']),
    ...(target === undefined
      ? {}
      : { target: { generation: count(target['generation']), snapshot: root(target['snapshot']), root: root(target['root']) } }),
    ...(pending === undefined ? {} : { pending: { generation: count(pending['generation']), root: root(pending['root']) } }),
  };
}

function hex(digest: Digest | null): string | null {
  return digest === null ? null : digestToHex(digest);
}

function root(value: unknown): Digest | null {
  return value === null ? null : digestFromHex(text(value));
}

function volumeId(value: unknown): VolumeId {
  if (!/^[0-9a-f]{32}$/.test(text(value))) throw new TypeError('not the id of a volume');
  return value as VolumeId;
}

function pathInVolume(value: unknown): string {
  if (normalizePath(text(value)) !== value) throw new TypeError('not a path in a volume');
  return value;
}

function text(value: unknown): string {
  if (typeof value !== 'string') throw new TypeError('not a string');
  return value;
}

function count(value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw new TypeError('not a count');
  return value as number;
}

function damaged(id: string, reason: string, state: string, cause?: unknown): DamageError {
  const { folder } = remainsOf(state);
  const damage: Damage = { kind: 'mount', id, ...(folder === undefined ? {} : { folder }), affects: [] };
  return new DamageError(`the state of mount ${id} is damaged: ${reason}`, [damage], cause);
}
