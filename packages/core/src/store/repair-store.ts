import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Disk, DiskSpec } from '../disk/disk.js';
import { openDisk } from '../disk/open-disk.js';
import { makeTemporaryFolder, removeTree, tryRemove } from '../disk/trees.js';
import { Decoder } from '../encoding/decoder.js';
import { InvalidArgumentError, wrapIoError, type Damage } from '../errors.js';
import { createHasher } from '../hash/blake3.js';
import { INITIAL_STATE } from '../index/records.js';
import { showWhatIsNeeded } from '../maintenance/gc/collection.js';
import { Findings } from '../maintenance/findings.js';
import { Phases } from '../maintenance/phases.js';
import { healFromFiles, healFromStore } from '../maintenance/repair/heal.js';
import { NewIndex } from '../maintenance/repair/new-index.js';
import { restoreRefs, writeRestored, type RestoredRefs } from '../maintenance/repair/restore-refs.js';
import { salvage, wholeRows } from '../maintenance/repair/salvage.js';
import { surveyPacks, type PackAccess, type Survey } from '../maintenance/repair/survey.js';
import { traceDamage } from '../maintenance/trace-damage.js';
import { verifyTrees } from '../maintenance/verify-trees.js';
import { verifyStore } from '../maintenance/verify.js';
import { nameAside, setStateAside } from '../mount/lost-state.js';
import type { MountId } from '../mount/places.js';
import { damagedMounts, listMounts } from '../mount/roots.js';
import { ObjectReader } from '../objects/object-reader.js';
import type { SealedPack } from '../pack/footer.js';
import { PackFiles } from '../pack/pack-files.js';
import type { PackId } from '../pack/pack-id.js';
import { PackShelf } from '../pack/pack-shelf.js';
import type { StoreLayout } from '../pack/store-layout.js';
import { quarantineName } from '../refs/journal.js';
import { listLeases } from '../publish/leases.js';
import { OwnLease } from '../publish/own-lease.js';
import { sealedPacks } from '../publish/rebuild-state.js';
import type { RepairReport, StoreOptions, VerifyReport, Work } from '../types.js';
import { StoreEngine } from './engine.js';
import { OldIndex } from './old-index.js';
import { isWritable, prepareStoreDir, realStorePath } from './open-dir.js';

export interface RepairOptions extends Work, Pick<StoreOptions, 'allowNetworkFileSystem'> {
  /** Where good copies of what is damaged may be: files, folders, other stores. */
  sources?: string[];
  /**
   * Reads everything and says what is damaged and what would be set aside; changes nothing, but that collections know of it meanwhile.
   * With `sources`, into which it would not look, it is refused.
   */
  dryRun?: boolean;
}

/**
 * Makes the index of a store anew from its packs and its ref journal, reading every byte. Packs with damage are moved to
 * `quarantine/`, never deleted; what is whole in them is copied out before, and what is not is taken from `sources`. What damaged
 * files of the journal told is taken from the old index, where that can be believed, and from snapshot records in packs.
 * Processes that have the store open may go on reading; their next change fails with `CAIRN_INDEX_REPLACED`, and they
 * have to open it again. May be interrupted at any moment, and run again.
 *
 * @throws InvalidArgumentError; CairnError `CAIRN_STORE_NOT_FOUND`, `CAIRN_NOT_A_STORE`; StoreFormatError; what the system refuses. Damage is reported.
 */
export function repairStore(dir: string, options: RepairOptions = {}): Promise<RepairReport> {
  return repairStoreOn({ durable: true }, dir, options);
}

/** @param spec a disk that injects faults, in tests. */
export async function repairStoreOn(spec: DiskSpec, dir: string, options: RepairOptions): Promise<RepairReport> {
  const disk = await openDisk(spec);
  const allowNetworkFileSystem = options.allowNetworkFileSystem ?? false;
  const { layout } = prepareStoreDir(realStorePath(dir), disk, { create: false, allowNetworkFileSystem });
  const dryRun = options.dryRun === true;
  if (dryRun && (options.sources ?? []).length > 0)
    throw new InvalidArgumentError('a dry run looks into no sources', 'leave them out, or repair: what is not in them stays as it is');
  const lease = holdCollections(disk, layout, dryRun);
  const packs = new PackFiles(layout);
  const access: PackAccess = { layout, packs, hasher: createHasher(), decoder: new Decoder() };
  try {
    const old = await OldIndex.of(layout, { onlyRead: dryRun && !isWritable(layout.indexDir), signal: options.signal });
    // A collection that did not see the lease has ended its step by then.
    if (!dryRun || old.mayLock) await old.underLock(() => undefined);
    const phases = new Phases(options);
    const survey = await surveyPacks(access, phases, options.signal);
    if (dryRun) return await preview(disk, access, old, survey, phases, options);
    const { refs, setAside } = await replaceIndex(disk, access, old, survey, phases, { ...options, lease: lease.id });
    const mounts = setMountsAside(disk, access);
    const report = await heal(spec, layout.dir, options);
    const damage = [...refs.damage, ...report.damage];
    const quarantined = [...namesOfPacks(survey), ...setAside, ...mounts];
    return { ...report, ok: damage.length === 0, damage, bytes: survey.bytes, quarantined, journal: refs.report };
  } catch (error) {
    throw wrapIoError(error, `cannot repair the store '${dir}'`);
  } finally {
    lease.remove();
    packs.closeAll();
  }
}

/**
 * Keeps packs from being deleted while they are being listed: a lease of one who reads no index that there is. A dry run in a folder
 * that cannot be written goes without.
 */
function holdCollections(disk: Disk, layout: StoreLayout, dryRun: boolean): OwnLease {
  const index = { refresh: () => undefined, state: () => INITIAL_STATE };
  const lease = new OwnLease({
    disk,
    layout,
    index,
    identity: { dev: 0, ino: 0 },
    writable: !dryRun || isWritable(layout.leasesDir),
    warn: () => undefined,
  });
  lease.ensure({ must: !dryRun });
  return lease;
}

/** What a repair would be left with, found by an index that is thrown away. */
async function preview(
  disk: Disk,
  access: PackAccess,
  old: OldIndex,
  survey: Survey,
  phases: Phases,
  { signal }: Work,
): Promise<RepairReport> {
  const dir = makeTemporaryFolder(disk, join(tmpdir(), 'cairn-repair-'));
  try {
    const index = new NewIndex(dir, false);
    try {
      const { layout, hasher } = access;
      const findings = new Findings();
      const damage: Damage[] = [];
      phases.begin('making the index', { of: 'packs', total: survey.whole.length + survey.broken.length });
      const add = (pack: SealedPack): void => {
        signal?.throwIfAborted();
        index.addPack(pack);
        phases.advance(1);
      };
      for (const pack of sealedPacks(layout, hasher, damage, idsOf(survey.broken))) {
        add(pack);
        await new Promise(setImmediate);
      }
      for (const pack of survey.broken) add({ id: pack.id, sizeBytes: 0, table: wholeRows(pack) });
      const refs = await old.reading((env) => restoreRefs(access, index.reader, env));
      index.setRefs(refs.table);
      findings.add(...refs.damage, ...damage, ...damagedMounts(layout.mountsDir, hasher));
      findings.add(...survey.broken.map(({ id }): Damage => ({ kind: 'pack', id, affects: [] })));
      const nodes = new ObjectReader(index.reader, access.packs, access.hasher, 0);
      // The objects that are whole in a broken pack would be copied out of it.
      const lost = new Findings();
      await verifyTrees({ index: index.reader, nodes, hasher, mountsDir: layout.mountsDir }, lost, phases, signal);
      traceDamage(index.reader, nodes, lost, listMounts(layout.mountsDir, hasher).states);
      findings.add(...lost.damage);
      const packs = survey.whole.length + survey.broken.length;
      return {
        ok: findings.damage.length === 0,
        packs,
        strayPacks: 0,
        chunks: survey.chunks,
        bytes: survey.bytes,
        damage: findings.damage,
        healed: 0,
        quarantined: [
          ...namesOfPacks(survey),
          ...refs.damaged.map((seq) => `quarantine/${quarantineName(layout.quarantineDir, seq)}`),
          ...damagedMounts(layout.mountsDir, hasher).map(({ id }) => nameAside(layout, id as MountId)),
        ],
        journal: refs.report,
      };
    } finally {
      await index.close();
    }
  } finally {
    tryRemove(disk, dir);
  }
}

/** What a repair has put in place; `setAside`: the names of what went to quarantine besides packs. */
interface Replaced {
  refs: RestoredRefs;
  setAside: string[];
}

/** Builds the new index aside and puts it in the place of the old one. */
async function replaceIndex(
  disk: Disk,
  access: PackAccess,
  old: OldIndex,
  survey: Survey,
  phases: Phases,
  { signal, lease }: Work & { lease: string },
): Promise<Replaced> {
  const { layout, hasher } = access;
  removeLeftovers(disk, layout);
  const aside = join(layout.dir, `${NEW_INDEX}${lease}`);
  disk.mkdir(aside);
  const index = new NewIndex(aside, true);
  try {
    const known = idsOf(survey.broken);
    phases.begin('making the index', { of: 'packs', total: survey.whole.length + survey.broken.length });
    const add = (pack: SealedPack): void => {
      signal?.throwIfAborted();
      index.addPack(pack);
      known.add(pack.id);
      phases.advance(1);
    };
    for (const pack of sealedPacks(layout, hasher, [], known)) {
      add(pack);
      await new Promise(setImmediate);
    }
    const shelf = new PackShelf(disk, layout, randomBytes(16).toString('hex'), access.hasher);
    for (const broken of survey.broken) for (const pack of salvage(access, shelf, broken)) add(pack);
    return await old.underLock((env) => {
      // What was committed meanwhile. From here to the end nobody commits.
      for (const pack of sealedPacks(layout, hasher, [], known)) add(pack);
      const refs = restoreRefs(access, index.reader, env);
      index.setRefs(refs.table);
      const oldIndex = swap(disk, layout, aside, survey);
      return { refs, setAside: [oldIndex, ...writeRestored(disk, access, index, refs)] };
    });
  } finally {
    await index.close();
    tryRemove(disk, aside);
  }
}

/** A mount without its state is mounted again by its folder, all files in it kept; a damaged state only keeps it from that. */
function setMountsAside(disk: Disk, { layout, hasher }: PackAccess): string[] {
  return damagedMounts(layout.mountsDir, hasher).flatMap(({ id }) => setStateAside(disk, layout, id as MountId, hasher) ?? []);
}

/** Every step leaves a store that a repair, begun again, can go on from. */
function swap(disk: Disk, layout: StoreLayout, aside: string, survey: Survey): string {
  disk.mkdir(layout.quarantineDir);
  for (const { id } of survey.broken) disk.rename(layout.packPath(id), join(layout.quarantineDir, `${id}.pack`));
  const oldIndex = `index-${new Date().toISOString().replace(/[:.]/g, '-')}`;
  // Without it the new index could be gone after a power cut, and its folder be there.
  disk.syncDirectory(aside);
  disk.rename(layout.indexDir, join(layout.quarantineDir, oldIndex));
  disk.rename(aside, layout.indexDir);
  for (const folder of [...survey.broken.map(({ id }) => layout.packDir(id)), layout.quarantineDir, layout.dir]) disk.syncDirectory(folder);
  return `quarantine/${oldIndex}`;
}

/** Brings back what is missing from where there are copies, and checks what the store is then. */
async function heal(spec: DiskSpec, dir: string, options: RepairOptions): Promise<VerifyReport & { healed: number }> {
  const engine = await StoreEngine.open(dir, { disk: spec, allowNetworkFileSystem: options.allowNetworkFileSystem ?? false });
  try {
    const work = { signal: options.signal, onProgress: options.onProgress };
    let report = { ...(await verifyStore(engine, work)), healed: 0 };
    for (const source of options.sources ?? []) report = await healFrom(engine, source, report, options);
    if (report.ok) await showWhatIsNeeded(engine, work);
    return report;
  } finally {
    await engine.shutDown();
  }
}

/** One source, for as long as it brings anything: a node that is whole again may show what is missing below it. */
async function healFrom<R extends VerifyReport & { healed: number }>(
  engine: StoreEngine,
  source: string,
  damaged: R,
  { signal, onProgress }: RepairOptions,
): Promise<R> {
  const work = { signal, onProgress };
  let report = damaged;
  const other = existsSync(join(source, 'format')) ? await openSource(source) : undefined;
  try {
    for (let healed = Infinity; healed > 0 && report.damage.length > 0;) {
      if (other === undefined) await healFromFiles(engine, source, work);
      else await healFromStore(engine, report.damage, other.nodes, work);
      const after = await verifyStore(engine, work);
      const left = new Set(after.damage.map(({ kind, id }) => `${kind} ${id}`));
      healed = report.damage.filter(({ kind, id }) => !left.has(`${kind} ${id}`)).length;
      report = { ...report, ...after, healed: report.healed + healed };
    }
    return report;
  } finally {
    await other?.shutDown();
  }
}

function openSource(dir: string): Promise<StoreEngine> {
  return StoreEngine.open(realStorePath(dir), { disk: { durable: true }, create: false });
}

function namesOfPacks({ broken }: Survey): string[] {
  return broken.map(({ id }) => `quarantine/${id}.pack`);
}

function idsOf(packs: readonly { id: PackId }[]): Set<PackId> {
  return new Set(packs.map(({ id }) => id));
}

/** An index that is being made; the lease of the repair that makes it follows. */
const NEW_INDEX = 'index-new-';

/** Removes what repairs that were killed have left: whoever has no lease any more. */
function removeLeftovers(disk: Disk, layout: StoreLayout): void {
  const left = readdirSync(layout.dir).filter((name) => name.startsWith(NEW_INDEX));
  if (left.length === 0) return;
  // Listed after the folders: a lease is written before its folder is made.
  const { alive, unreadable } = listLeases(layout);
  const owners = new Set([...alive.map(({ id }) => id), ...unreadable]);
  for (const name of left) if (!owners.has(name.slice(NEW_INDEX.length))) removeTree(disk, join(layout.dir, name));
}
