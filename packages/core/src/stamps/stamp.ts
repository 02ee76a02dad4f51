import type { BigIntStats } from 'node:fs';
import { TICK_MS } from '../ingest/source.js';

/** What the system says of a file; as long as all of it stays, so do the bytes. */
export interface Stamp {
  size: number;
  mtimeNs: bigint;
  ctimeNs: bigint;
  inode: bigint;
}

export function stampOf(stat: BigIntStats): Stamp {
  return { size: Number(stat.size), mtimeNs: stat.mtimeNs, ctimeNs: stat.ctimeNs, inode: stat.ino };
}

export function sameStamp(a: Stamp | undefined, b: Stamp | undefined): boolean {
  return a !== undefined && b !== undefined && sameData(a, b) && a.ctimeNs === b.ctimeNs;
}

/** The same but for the change time, which links and renames move without touching the bytes. */
export function sameData(a: Stamp, b: Stamp): boolean {
  return a.size === b.size && a.mtimeNs === b.mtimeNs && a.inode === b.inode;
}

/**
 * Whether every later edit would give another stamp than this one, taken at `nowMs` or later: the system's clock ticks, so that
 * an edit in the tick of the last one leaves no trace.
 */
export function isSettled(stamp: Stamp, nowMs: number): boolean {
  const limitNs = BigInt(nowMs - TICK_MS) * 1_000_000n;
  return stamp.mtimeNs <= limitNs && stamp.ctimeNs <= limitNs;
}

/** The same file, and no program has changed anything of it in between. */
export function sameTimes(a: Stamp, b: Stamp): boolean {
  return a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs && a.inode === b.inode;
}
