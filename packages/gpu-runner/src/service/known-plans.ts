import { createHash } from 'node:crypto';
import type { Snapshot } from '@cairn/core';
import { planLoad, type LoadPlan } from '../plan/load-plan.js';
import { readModelSource, sameFiles } from '../plan/model-files.js';
import type { ModelRequest } from '../protocol/messages.js';

/** What the plans that are kept may have together: files, tensors and reads, some hundred bytes each; and a plan by itself. */
const MAX_PARTS = 200_000;
const PARTS_OF_A_PLAN = 100;
/** Of what one request means. */
const MAX_VERSIONS = 8;

interface Known {
  making: Promise<LoadPlan>;
  /** Once it is made. */
  plan: LoadPlan | undefined;
}

/** What one request meant lately, by snapshot; used last comes last. Versions in which the model is the same share a plan. */
type Line = Map<string, Known>;

/**
 * Plans that were made lately. A snapshot never changes, so what a request means in it does not either, and when its files have not
 * changed it means the same in the next one: who asks for a model that is loaded, or whether there is a newer version, costs no look at
 * headers and trees of weights, however large they are.
 */
export class KnownPlans {
  /** By request; used last comes last. */
  private readonly lines = new Map<string, Line>();

  /** @throws what reading the headers and planning throw; nothing is kept then */
  async planOf(snapshot: Snapshot, request: ModelRequest): Promise<LoadPlan> {
    const key = keyOf(request);
    const line: Line = this.lines.get(key) ?? new Map<string, Known>();
    putLast(this.lines, key, line);
    const { id } = snapshot.info;
    const found = line.get(id);
    if (found !== undefined) {
      putLast(line, id, found);
      return found.making;
    }
    const known: Known = { making: make(snapshot, request, [...line.values()].at(-1)), plan: undefined };
    line.set(id, known);
    try {
      known.plan = await known.making;
      this.forgetOldest(line);
      return known.plan;
    } catch (error) {
      line.delete(id);
      if (line.size === 0 && this.lines.get(key) === line) this.lines.delete(key);
      throw error;
    }
  }

  private forgetOldest(current: Line): void {
    for (const id of current.keys()) if (current.size > MAX_VERSIONS) current.delete(id);
    let parts = 0;
    for (const [key, line] of [...this.lines].reverse()) {
      for (const plan of new Set([...line.values()].map((known) => known.plan))) if (plan !== undefined) parts += partsOf(plan);
      if (parts > MAX_PARTS) this.lines.delete(key);
    }
  }
}

async function make(snapshot: Snapshot, request: ModelRequest, before: Known | undefined): Promise<LoadPlan> {
  const old = await before?.making.catch(() => undefined);
  if (old !== undefined && (await sameFiles(snapshot, request.path, old.files))) return old;
  return planLoad(await readModelSource(snapshot, request.path), request);
}

function partsOf({ files, tensors, reads }: LoadPlan): number {
  return PARTS_OF_A_PLAN + files.length + tensors.length + reads.length;
}

function putLast<K, V>(map: Map<K, V>, key: K, value: V): void {
  map.delete(key);
  map.set(key, value);
}

/** Of what a request means whatever the version, and nothing else that it may hold: it comes from other processes. */
function keyOf(request: ModelRequest): string {
  const { volume, path, layout, include, tensors, slice, alignmentBytes, maxRegionBytes } = request;
  const cut = slice === undefined ? null : [slice.rank, slice.worldSize, slice.rows, slice.columns];
  return createHash('sha256')
    .update(JSON.stringify([volume, path, layout, include, tensors, cut, alignmentBytes, maxRegionBytes]))
    .digest('base64');
}
