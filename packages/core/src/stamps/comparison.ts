import fs from 'node:fs';
import { PageView } from './page.js';

/** Part of a comparison: some pages of one folder. */
export interface ComparedFolder {
  /** Where its pages begin, and how many there are. */
  offsets: readonly number[];
  /** Rows of all of them. */
  rows: number;
}

/** What differs between a folder and the rows that are about it. */
export interface FolderDifferences {
  /** Index of the folder among those that were compared. */
  folder: number;
  /** Rows that look otherwise, are gone, or whose stamp is not known. */
  changed: string[];
  /** Names without a row. */
  added: string[];
  /** It could not be listed. */
  isClosed?: boolean;
}

/** A comparison under way, as threads share it: each takes the next part until there is none. */
export interface ComparisonTask {
  type: 'compare-folders';
  dir: string;
  /** Of a `PageMemory`. */
  memory: SharedArrayBuffer;
  /** `PART_FIELDS` per part. */
  parts: Uint32Array;
  /** Where pages begin, in units of `PAGE_UNIT`. */
  pages: Uint32Array;
  /** See `NEXT` and `ENDED`. */
  control: Int32Array;
}

/** Of a part: index of its folder, where its pages begin among all, how many there are, and what is to be done with them. */
const PART_FIELDS = 4;
const STAT = 1;
const LIST = 2;
const PAGE_UNIT = 8;

/** The next part that nobody has taken. */
const NEXT = 0;
/** 1 once nobody is to take another part. */
const ENDED = 1;
const CONTROL_FIELDS = 2;

/** How names that are no UTF-8 come out: whether such a name is a row's cannot be told. */
const REPLACEMENT = '\ufffd';
const STAT_OPTIONS = { bigint: true, throwIfNoEntry: false } as const;

/** Prepares a comparison: a folder of one page is listed and looked at as one part, else its listing is a part, and each of its pages. */
export function planComparison(dir: string, memory: SharedArrayBuffer, folders: readonly ComparedFolder[]): ComparisonTask {
  const parts: number[] = [];
  const pages: number[] = [];
  folders.forEach(({ offsets }, folder) => {
    const first = pages.length;
    for (const offset of offsets) pages.push(offset / PAGE_UNIT);
    if (offsets.length === 1) parts.push(folder, first, 1, LIST | STAT);
    else {
      parts.push(folder, first, offsets.length, LIST);
      offsets.forEach((_, i) => parts.push(folder, first + i, 1, STAT));
    }
  });
  const control = new Int32Array(new SharedArrayBuffer(CONTROL_FIELDS * Int32Array.BYTES_PER_ELEMENT));
  return { type: 'compare-folders', dir, memory, parts: shared(parts), pages: shared(pages), control };
}

export interface ComparisonShare {
  found: FolderDifferences[];
  /** Parts that it looked at. */
  parts: number;
}

/** One thread's share in a comparison. */
export class Comparison {
  readonly share: ComparisonShare = { found: [], parts: 0 };
  private readonly task: ComparisonTask;
  private readonly memory: Uint8Array;

  constructor(task: ComparisonTask) {
    this.task = task;
    this.memory = new Uint8Array(task.memory);
  }

  /** Takes the next part. Returns how many names were looked at; 0 when there is no more. */
  step(): number {
    const { control, parts, pages } = this.task;
    if (Atomics.load(control, ENDED) !== 0) return 0;
    const at = Atomics.add(control, NEXT, 1) * PART_FIELDS;
    if (at >= parts.length) return 0;
    const [folder, first, count, what] = parts.subarray(at, at + PART_FIELDS) as unknown as [number, number, number, number];
    const views = [...pages.subarray(first, first + count)].map((page) => new PageView(this.memory, page * PAGE_UNIT));
    const differences: FolderDifferences = { folder, changed: [], added: [] };
    let looked = 1;
    if ((what & LIST) !== 0) looked += this.list(views, differences);
    if ((what & STAT) !== 0 && differences.isClosed !== true) looked += this.look(views[0]!, differences);
    if (differences.changed.length + differences.added.length > 0 || differences.isClosed === true) this.share.found.push(differences);
    this.share.parts++;
    return looked;
  }

  private list(views: readonly PageView[], differences: FolderDifferences): number {
    let names: string[];
    try {
      names = fs.readdirSync(this.local(views[0]!.folder));
    } catch {
      differences.isClosed = true;
      return 0;
    }
    const known = new Set<string>();
    for (const view of views) for (const name of view.names) known.add(name);
    for (const name of names) if (!known.has(name) || name.includes(REPLACEMENT)) differences.added.push(name);
    return names.length;
  }

  private look(view: PageView, { changed }: FolderDifferences): number {
    const { names, rows } = view;
    const folder = this.local(view.folder);
    for (let row = 0; row < rows; row++) if (!isAsKnown(`${folder}/${names[row]!}`, view, row)) changed.push(names[row]!);
    return rows;
  }

  private local(folder: string): string {
    return folder === '' ? this.task.dir : `${this.task.dir}/${folder}`;
  }
}

/** Synchronous: an asynchronous call takes ten times as long as what it waits for. */
function isAsKnown(path: string, view: PageView, row: number): boolean {
  const kind = view.kind(row);
  if (kind !== 'directory' && !view.isKnown(row)) return false;
  try {
    const stat = fs.lstatSync(path, STAT_OPTIONS);
    if (stat === undefined) return false;
    if (kind === 'directory') return stat.isDirectory();
    return (kind === 'file' ? stat.isFile() : stat.isSymbolicLink()) && view.isStamp(row, stat);
  } catch {
    return false;
  }
}

/** A worker's share. */
export function compareFolders(task: ComparisonTask): ComparisonShare {
  const comparison = new Comparison(task);
  while (comparison.step() > 0);
  return comparison.share;
}

/** How many parts there are. */
export function partsOf({ parts }: ComparisonTask): number {
  return parts.length / PART_FIELDS;
}

/** Lets nobody take another part. */
export function endComparison({ control }: ComparisonTask): void {
  Atomics.store(control, ENDED, 1);
}

function shared(numbers: readonly number[]): Uint32Array {
  const array = new Uint32Array(new SharedArrayBuffer(numbers.length * Uint32Array.BYTES_PER_ELEMENT));
  array.set(numbers);
  return array;
}
