import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { Child, type Saying } from '../children.js';
import { contentOf, digestOf, type Files, type Version } from './inspection.mjs';
import { ACTOR_FILES, OTHERS_FILES, textOf } from './mount-files.mjs';
import { withStore } from '../with-store.js';
import { openStoreOn } from '../../../packages/core/dist/store/open-store.js';

/** What the inspector says of a folder and its volume. */
interface Settled {
  before: Files;
  after: Files;
  status: { added: string[]; modified: string[]; removed: string[] };
  versions: Version[];
  folderAtLast: Files;
  head: Files;
  /** Of the head. */
  generation: number;
  damage: unknown[];
}

const VOLUME = 'm';

/** A mount that one process after another owns, and what its files may hold by what was said. */
export class MountStage {
  readonly counts = { writes: 0, commits: 0, reloads: 0 };
  private readonly store: string;
  private readonly folder: string;
  private readonly durable: boolean;
  /** Number of the writing by digest, of each file. */
  private readonly numbers = new Map<string, Map<string, number>>([...ACTOR_FILES, ...OTHERS_FILES].map((file) => [file, new Map()]));
  private readonly acknowledged = new Set<string>();
  private readonly versions = new Map<string, Files>();
  private settledAt = 0;
  private next = 1;

  /** @param roots where the store is to be made, and the folder */
  static async make(roots: { store: string; folder: string }, { durable }: { durable: boolean }): Promise<MountStage> {
    const stage = new MountStage(roots, durable);
    await withStore(
      stage.store,
      (store) => store.volumes.create(VOLUME),
      (dir) => openStoreOn({ durable }, dir, { workers: 1 }),
    );
    return stage;
  }

  private constructor({ store, folder }: { store: string; folder: string }, durable: boolean) {
    this.store = join(store, 'store');
    this.folder = join(folder, 'folder');
    this.durable = durable;
  }

  begin(order: { seed: number; faults?: object }): Child {
    const { store, folder, durable, next: from } = this;
    return Child.start('histories/mount-actor.mjs', { store, folder, volume: VOLUME, durable, from, ...order });
  }

  /** Mounts the folder again, and judges what is there by what its owner said until it died. */
  async settle(said: readonly Saying[], inspector: Child, { rebooted }: { rebooted: boolean }): Promise<string[]> {
    this.hear(said);
    const from = inspector.said.length;
    inspector.tell({ store: this.store, folder: this.folder, volume: VOLUME, durable: this.durable, rebooted });
    const settled = await inspector.hears(({ say }) => say === 'settled', from);
    if (settled === undefined) throw new Error(`the inspector ended: ${JSON.stringify(await inspector.ended)}`);
    const found = settled as unknown as Settled;
    const wrong = [...this.judgeHistory(found.versions, said), ...this.judgeFolder(found, said, rebooted)];
    this.settledAt = found.generation;
    if (found.damage.length > 0) wrong.push(`damage: ${JSON.stringify(found.damage)}`);
    return wrong;
  }

  private hear(said: readonly Saying[]): void {
    for (const { say, file, number, id, call } of said as (Saying & { file: string; number: number; id: string; call: string })[]) {
      if (say === 'try') {
        this.numbers.get(file)!.set(digestOf(contentOf(textOf(file, number))), number);
        this.next = Math.max(this.next, number + 1);
        this.counts.writes++;
      } else if (say === 'committed' || (say === 'done' && call === 'commit')) this.acknowledged.add(id);
      if (say === 'committed') this.counts.commits++;
      if (say === 'done' && call === 'reload') this.counts.reloads++;
    }
  }

  private numberOf(file: string, digest: string | undefined): number | undefined {
    return digest === undefined ? undefined : this.numbers.get(file)?.get(digest);
  }

  private judgeHistory(versions: readonly Version[], said: readonly Saying[]): string[] {
    const wrong: string[] = [];
    const byId = new Map(versions.map((version) => [version.id, version]));
    for (const id of this.acknowledged) if (!byId.has(id)) wrong.push(`lost: ${id}`);
    for (const { id, generation, files } of versions) {
      const known = this.versions.get(id);
      if (known !== undefined && !isDeepStrictEqual(known, files)) wrong.push(`generation ${generation} has changed`);
      this.versions.set(id, files);
    }
    // A power cut may have taken the program back to what it had synced, and that was committed when the folder was mounted again.
    const last = new Map<string, number>();
    for (const { generation, files } of versions.filter(({ generation: of }) => of >= this.settledAt)) {
      for (const [file, digest] of Object.entries(files)) {
        if (digest === '/') continue;
        const number = this.numberOf(file, digest);
        if (number === undefined) wrong.push(`generation ${generation}: ${file} is nothing that was written`);
        else if (number < (last.get(file) ?? 0))
          wrong.push(`generation ${generation}: ${file} went back from ${last.get(file)} to ${number}`);
        else last.set(file, number);
      }
      for (const file of last.keys()) if (files[file] === undefined) wrong.push(`generation ${generation}: ${file} is gone`);
    }
    return [...wrong, ...this.judgeCalls(byId, said)];
  }

  /** A commit that was asked for has everything written before. */
  private judgeCalls(byId: ReadonlyMap<string, Version>, said: readonly Saying[]): string[] {
    const wrong: string[] = [];
    const written = new Map<string, number>();
    for (const { say, file, number, id, call, busy } of said as (Saying &
      Record<'file' | 'id' | 'call', string> & { number: number; busy: [] })[]) {
      if (say === 'wrote') written.set(file, number);
      if (say !== 'done' || call !== 'commit' || busy.length > 0) continue;
      for (const [path, least] of written)
        if ((this.numberOf(path, byId.get(id)?.files[path]) ?? 0) < least)
          wrong.push(`a commit that was asked for has not got ${path} ${least}`);
    }
    return wrong;
  }

  private judgeFolder(
    { before, after, status, versions, folderAtLast, head }: Settled,
    said: readonly Saying[],
    rebooted: boolean,
  ): string[] {
    const wrong: string[] = [];
    const newest = versions.at(-1)?.files ?? {};
    for (const file of ACTOR_FILES) {
      // Of a file that the program did not sync anything may be left.
      if (rebooted && after[file] !== undefined && this.numberOf(file, after[file]) === undefined)
        this.numbers.get(file)!.set(after[file], 0);
      // What the program wrote is its own: a kill takes nothing of it, and mounting leaves it as it was.
      if (!rebooted && after[file] !== before[file]) wrong.push(`mounting the folder again changed ${file}`);
      // A power cut may take what the program did not sync, but nothing that was committed: that was synced before.
      if (rebooted && newest[file] !== undefined && after[file] === undefined)
        wrong.push(`${file} was committed, and is gone from the folder`);
    }
    const isBehind =
      said.findLastIndex(({ say, call }) => say === 'asked' && call === 'others') >
      said.findLastIndex(({ say, call }) => say === 'done' && call === 'reload');
    for (const file of OTHERS_FILES) {
      const there = this.numberOf(file, after[file]);
      if (after[file] !== undefined && there === undefined) wrong.push(`${file}, which others committed, is torn`);
      if (after[file] === undefined && newest[file] !== undefined && !isBehind) wrong.push(`${file}, which others committed, is gone`);
    }
    const touched = [...status.modified, ...status.added, ...status.removed].filter((path) => path.startsWith('others'));
    if (touched.length > 0) wrong.push(`what others committed looks edited: ${JSON.stringify(status)}`);
    for (const file of new Set([...Object.keys(head), ...Object.keys(folderAtLast)]))
      if (head[file] !== '/' && head[file] !== folderAtLast[file]) wrong.push(`in the end ${file} is not the same in folder and head`);
    for (const file of OTHERS_FILES) if (newest[file] !== head[file]) wrong.push(`${file}, which others committed, was committed over`);
    return wrong;
  }
}

/** When an owner has written so many files, and a little later. */
export async function untilWritten(owner: Child, writes: number, random: (limit: number) => number): Promise<void> {
  let heard = 0;
  await owner.hears(({ say }) => say === 'wrote' && ++heard >= writes);
  for (let i = 0, spins = random(3_000_000); i < spins;) i++;
}
