/** A promise about performance, as data: rows measure, the report compares. */
export interface Target {
  readonly what: string;
  readonly bound: 'at most' | 'at least';
  readonly limit: number;
  /** An encoding that the target counts on and the store does not write yet. */
  readonly needs?: 'planes' | 'delta';
}

const TARGETS = {
  'first-store/process': {
    what: 'first store, two workers, in process: time over cp + sync',
    bound: 'at most',
    limit: 1.0,
  },
  'first-store/command': { what: 'first store by the command: time over cp + sync', bound: 'at most', limit: 1.2 },
  'first-store/borg': { what: 'first store: times as fast as borg', bound: 'at least', limit: 3 },
  'first-store/restic': { what: 'first store: times as fast as restic', bound: 'at least', limit: 6 },
  'first-store/casync': { what: 'first store: times as fast as casync', bound: 'at least', limit: 8 },
  'store-again/weights': { what: 'store again, no stat cache, weights, one core', bound: 'at least', limit: 4 },
  'store-again/generic': { what: 'store again, no stat cache, generic bytes, one core', bound: 'at least', limit: 1.5 },
  'restore/cp': { what: 'restore to a folder, verified, two workers: time over cp -r', bound: 'at most', limit: 1.0 },
  'verify/restic': { what: 'check of all data: times as fast as restic check --read-data', bound: 'at least', limit: 3 },
  'verify/borg': { what: 'check of all data: times as fast as borg check --verify-data', bound: 'at least', limit: 3 },
  'read/verified': { what: 'read into a buffer, verified, raw chunks, one core', bound: 'at least', limit: 4.5 },
  'read/unverified': { what: 'read into a buffer, unverified: rate over plain fs.read', bound: 'at least', limit: 1.0 },
  'size/bf16': { what: 'bytes on disk per byte of bf16 weights', bound: 'at most', limit: 0.67, needs: 'planes' },
  'size/fp32': { what: 'bytes on disk per byte of fp32 weights', bound: 'at most', limit: 0.84, needs: 'planes' },
  'size/fine-tune': {
    what: 'bytes on disk per byte of a fine-tune after its base',
    bound: 'at most',
    limit: 0.3,
    needs: 'delta',
  },
  'commit/growth': { what: 'one-file commit: time in the largest volume over the smallest', bound: 'at most', limit: 1.5 },
  'commit/time': { what: 'one-file commit in the largest volume', bound: 'at most', limit: 5 },
  'opening/growth': { what: 'open and read one file: largest volume over the smallest', bound: 'at most', limit: 20 },
  'writers/growth': { what: 'time per commit: eight processes on one volume over one', bound: 'at most', limit: 8 },
  'mount/cp': { what: 'mount of a volume: time over cp -r', bound: 'at most', limit: 1.2 },
  'mounted/git-status': { what: 'commit of a folder with nothing changed: time over git status', bound: 'at most', limit: 1.5 },
  'mounted/commit': { what: 'commit of one changed file of 1 MiB in a folder of 1,000', bound: 'at most', limit: 50 },
  'mounted/reload-growth': { what: 'reload of one changed file: time in the large folder over the small', bound: 'at most', limit: 1.5 },
  'model/verified': { what: 'model into slots, verified, raw chunks, one core', bound: 'at least', limit: 4.5 },
  'model/unverified': { what: 'model into slots, unverified: rate over a pipeline of plain fs.read', bound: 'at least', limit: 0.9 },
  'model/attach': { what: 'a second process takes a loaded model', bound: 'at most', limit: 10 },
  'model/reload': { what: 'reload of a model with 1 % of its blocks changed: bytes read, of all', bound: 'at most', limit: 0.015 },
  'model/memory': { what: 'memory of Node beside a model while it is loaded', bound: 'at most', limit: 400 },
  'small-files/borg': { what: 'first store of small files: times as fast as borg', bound: 'at least', limit: 3 },
  'small-files/restic': { what: 'first store of small files: times as fast as restic', bound: 'at least', limit: 3 },
  'small-files/borg-loaded': { what: 'small files into a full store: times as fast as borg', bound: 'at least', limit: 3 },
  'small-files/restic-loaded': {
    what: 'small files into a full store: times as fast as restic',
    bound: 'at least',
    limit: 3,
  },
  'memory/peak': { what: 'peak resident set while storing the large file', bound: 'at most', limit: 250 },
  'workers/store-again': { what: 'store again: two workers against one', bound: 'at least', limit: 1.7 },
  'workers/read': { what: 'verified reads: two workers against one', bound: 'at least', limit: 1.7 },
  'workers/restore': { what: 'restore: two workers against one', bound: 'at least', limit: 1.7 },
  'start/first-byte': { what: 'start of the command to the first byte stored', bound: 'at most', limit: 170 },
  'start/help': { what: 'cairn --help over node -e 0', bound: 'at most', limit: 40 },
} as const satisfies Record<string, Target>;

export type TargetId = keyof typeof TARGETS;

export function targetOf(id: TargetId): Target {
  return TARGETS[id];
}

/** `later`: missed, and it counts on an encoding that is not written yet. */
export type Verdict = 'met' | 'missed' | 'later';

export function judge(value: number, target: Target): Verdict {
  const met = target.bound === 'at most' ? value <= target.limit : value >= target.limit;
  if (met) return 'met';
  return target.needs === undefined ? 'missed' : 'later';
}
