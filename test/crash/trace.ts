import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { State } from '../support/operations.mjs';

/**
 * A change that a recorded program made, or tried. A repair changes nothing that a user sees, nor does a collection; `step` is one of which the run says
 * itself, when it is done, what it came to.
 */
export type Change =
  { preparation: number } | { name: string; i: number; part: 'before' | 'run' } | { repair: true } | { gc: true } | { step: number };

/** One line of a trace: see `tracing-disk.mjs`. `bytes` names what was written. */
export type TraceEntry =
  | { op: 'create' | 'open'; path: string; file: string }
  | { op: 'write'; file: string; at: number; bytes: string }
  | { op: 'sync' | 'synced'; file: string; id: string }
  | { op: 'time'; file: string; mtimeNs: string }
  | { op: 'mkdir' | 'unlink'; path: string }
  | { op: 'adopt'; path: string; bytes: string }
  | { op: 'symlink'; path: string; target: string }
  | { op: 'rename' | 'link'; path: string; to: string }
  | { op: 'sync-folder' | 'folder-synced'; path: string; id: string; made?: true }
  | { op: 'sync-source' | 'source-synced'; path: string; id: string }
  | { op: 'index'; path: string; bytes: string }
  | { op: 'edit'; path: string; text: string; mtimeNs: string }
  | { op: 'try'; change: Change }
  | { op: 'done'; change: Change; state?: State };

/** What a run did to its disk, in order. */
export interface RecordedTrace {
  readonly entries: readonly TraceEntry[];
  bytes(name: string): Buffer;
}

/** Reads all of a trace; its folder is not needed any more after that. */
export function readTrace(folder: string): RecordedTrace {
  const lines = readFileSync(join(folder, 'trace'), 'utf8').trimEnd().split('\n');
  const entries = lines.map((line) => JSON.parse(line) as TraceEntry);
  const bytes = new Map<string, Buffer>();
  for (const entry of entries) if ('bytes' in entry) bytes.set(entry.bytes, readFileSync(join(folder, 'bytes', entry.bytes)));
  return { entries, bytes: (name) => bytes.get(name)! };
}

/** Which syncs a disk leaves out. */
export type SyncFilter = (sync: { folder: string } | { file: string } | { source: string }) => boolean;

export const ofFile =
  (pattern: RegExp): SyncFilter =>
  (sync) =>
    'file' in sync && pattern.test(sync.file);
export const ofFolder =
  (pattern: RegExp): SyncFilter =>
  (sync) =>
    'folder' in sync && pattern.test(sync.folder);

/**
 * The same run on a disk that does nothing when it is asked for certain syncs; `from` is where it first differs. `file` is the path
 * under which a file was made, `folder` that of a folder, `source` that of a file that somebody else wrote.
 */
export function withoutSyncs(trace: RecordedTrace, leftOut: SyncFilter): RecordedTrace & { from: number } {
  const paths = new Map<string, string>();
  const isLeftOut = (entry: TraceEntry): boolean => {
    if (entry.op === 'create') paths.set(entry.file, entry.path);
    if (entry.op === 'sync' || entry.op === 'synced') return leftOut({ file: paths.get(entry.file)! });
    if (entry.op === 'sync-source' || entry.op === 'source-synced') return leftOut({ source: entry.path });
    return (entry.op === 'sync-folder' || entry.op === 'folder-synced') && leftOut({ folder: entry.path });
  };
  const kept = trace.entries.map((entry) => !isLeftOut(entry));
  return { ...trace, entries: trace.entries.filter((_, i) => kept[i]), from: kept.indexOf(false) };
}
