import fs from 'node:fs';
import { damagedMounts, listMounts } from '../mount/roots.js';
import { ObjectReader } from '../objects/object-reader.js';
import type { PackFiles } from '../pack/pack-files.js';
import type { PackId } from '../pack/pack-id.js';
import type { DataReader } from '../reading/data-reader.js';
import type { VerifyReport, Work } from '../types.js';
import { compareWithJournal } from './compare-journal.js';
import { Findings } from './findings.js';
import { Phases } from './phases.js';
import { traceDamage } from './trace-damage.js';
import { type PackParts, strayPacks, verifyFooters } from './verify-packs.js';
import { verifyTrees } from './verify-trees.js';

/** What a check looks at. */
export interface VerifyParts extends PackParts {
  packs: PackFiles;
  data: DataReader;
  workers: number;
}

/** A pack whose payloads are to be read. */
interface PackToRead {
  id: PackId;
  sizeBytes: number;
  isStray: boolean;
}

/**
 * Checks a store beside its users: every pack's footer, that the index says what packs and journal say, that the states of mounts can be
 * read, and that all trees are whole; with `readData` every payload as well, by all workers.
 */
export async function verifyStore(parts: VerifyParts, work: Work & { readData?: boolean }): Promise<VerifyReport> {
  const { index, layout, hasher } = parts;
  const { mountsDir } = layout;
  const { signal } = work;
  const findings = new Findings();
  const phases = new Phases(work);
  signal?.throwIfAborted();
  index.refresh();
  const packs = findings.collect(() => [...index.packs()].map(({ id, sizeBytes }) => ({ id, sizeBytes, isStray: false }))) ?? [];
  const ids = packs.map(({ id }) => id);
  const chunks = await verifyFooters(parts, ids, { findings, phases, signal });
  const strays = await strayPacks(parts, { findings, phases, signal });
  findings.collect(() => findings.add(...compareWithJournal(layout, index, hasher)));
  findings.add(...damagedMounts(mountsDir, hasher));
  const toRead = [...packs, ...strays.map((id) => ({ id, sizeBytes: sizeOf(layout.packPath(id)), isStray: true }))];
  const bytes = work.readData === true ? await readAllData(parts, toRead, findings, phases, signal) : 0;

  // Without a cache: what is checked is the disk.
  const nodes = new ObjectReader(index, parts.packs, hasher, 0);
  await verifyTrees({ index, nodes, hasher, mountsDir }, findings, phases, signal);
  traceDamage(index, nodes, findings, listMounts(mountsDir, hasher).states);
  const { damage } = findings;
  return { ok: damage.length === 0, packs: packs.length, strayPacks: strays.length, chunks, bytes, damage };
}

/** Re-reads packs by all workers. Returns the logical bytes that are whole. */
async function readAllData(
  { data, index, layout, workers }: VerifyParts,
  packs: readonly PackToRead[],
  findings: Findings,
  phases: Phases,
  signal: AbortSignal | undefined,
): Promise<number> {
  let bytes = 0;
  let failed = false;
  const totalBytes = packs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  phases.begin('reading packs', { of: 'packs', total: packs.length, totalBytes });
  const next = packs.values();
  const lane = async (): Promise<void> => {
    for (const { id, sizeBytes, isStray } of next) {
      if (failed) return;
      const check = await data.checkPack(id, { signal });
      phases.advance(1, sizeBytes);
      index.refresh();
      // Collected meanwhile.
      if (isStray ? !fs.existsSync(layout.packPath(id)) : index.pack(id) === undefined) continue;
      findings.add(...check.damage);
      bytes += check.bytes;
    }
  };
  const lanes = Array.from({ length: workers }, () =>
    lane().catch((error: unknown) => {
      failed = true;
      throw error;
    }),
  );
  await Promise.allSettled(lanes);
  await Promise.all(lanes);
  return bytes;
}

/** 0 for one that is gone. */
function sizeOf(path: string): number {
  return fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
