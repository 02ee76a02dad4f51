import { describe, expect, test } from 'vitest';
import { Child } from '../support/children.js';
import type { Violation } from '../support/histories/judge.js';
import { MountStage, untilWritten } from '../support/histories/mount-stage.js';
import { Performance, Stage, type Order } from '../support/histories/stage.js';
import { LoopDisk, whyNoLoopDisk, type CUTS as HOW, type FileSystem } from '../support/loop-disk.js';
import { randomFrom, testSeed } from '../support/random.js';
import { tempDir } from '../support/temp-dir.js';
import { tell } from '../support/tell.js';

/** A long run sets more. */
const CUTS = Number(process.env['CAIRN_TEST_CUTS'] ?? 4);
/** After so many cuts a new disk is made. */
const CUTS_A_DISK = 10;
const MAX_SAID = 60;

const KINDS: FileSystem[] = ['ext4', 'xfs'];
const REASONS = new Map(KINDS.map((kind) => [kind, whyNoLoopDisk(kind)]));
for (const [kind, reason] of REASONS) if (reason !== undefined) console.warn(`no power is cut on ${kind}: ${reason}`);
const CUTS_A_KIND = CUTS / Math.max(1, [...REASONS.values()].filter((reason) => reason === undefined).length);

const MOUNT_CUTS_A_KIND = Math.ceil(CUTS_A_KIND / 5);

/** What actors are told besides. */
type Way = Pick<Order, 'disk' | 'durable'>;

class Play {
  readonly stage: Stage;
  private readonly disk: LoopDisk;
  private readonly inspector = Child.start('histories/inspector.mjs', {});
  private readonly random: (limit: number) => number;

  static async on(kind: FileSystem, random: (limit: number) => number): Promise<Play> {
    const disk = new LoopDisk(kind);
    return new Play(await Stage.make(disk.dir, { durable: true }), disk, random);
  }

  private constructor(stage: Stage, disk: LoopDisk, random: (limit: number) => number) {
    this.stage = stage;
    this.disk = disk;
    this.random = random;
  }

  /** Two processes work, the power is cut, and comes back. Returns what is wrong then, and how it came about. */
  async cut(how: keyof typeof HOW, way: Way = {}): Promise<{ wrong: Violation[]; context: string }> {
    const { random } = this;
    const orders = [0, 1].map(() => ({ seed: random(2 ** 31), moves: 10_000, ...way }));
    const performances = orders.map((order) => this.stage.begin(Performance.actor(), order));
    const said = 1 + random(MAX_SAID);
    await performances[0]!.hasSaid(said);
    for (let i = 0, spins = random(2_000_000); i < spins;) i++; // somewhere within what comes next
    this.disk.cut(how);
    for (const performance of performances) {
      await performance.child.kill();
      this.stage.note(performance);
    }
    this.disk.restart();
    const wrong = await this.stage.settleIn(this.inspector, { readData: true, failing: true });
    return { wrong, context: `journal ${how}, after ${said} sayings of ${JSON.stringify(orders)}` };
  }

  async end(): Promise<void> {
    this.inspector.stop();
    await this.inspector.succeeds();
  }
}

describe.each(KINDS)('when the power is cut, on %s,', (kind) => {
  const onDisk = test.skipIf(REASONS.get(kind) !== undefined);

  onDisk(
    'at any moment: all that was acknowledged or seen is there, and the store works on',
    async () => {
      const random = randomFrom(testSeed(`power cuts of ${kind}`));
      const counts = { cuts: 0, moves: 0, commits: 0, inDoubt: 0 };
      while (counts.cuts < CUTS_A_KIND) {
        const play = await Play.on(kind, random);
        for (let cut = 0; cut < CUTS_A_DISK && counts.cuts < CUTS_A_KIND; cut++) {
          const { wrong, context } = await play.cut(random(3) === 0 ? 'flushed' : 'dropped');
          expect(wrong, `cut ${++counts.cuts}, ${context}`).toEqual([]);
        }
        await play.end();
        for (const name of ['moves', 'commits', 'inDoubt'] as const) counts[name] += play.stage.counts[name];
      }
      tell(`power cuts, ${kind}`, counts);
    },
    3_600_000,
  );

  // Positive controls: were one of these undone in the core, the test above would say so.
  onDisk.each<[string, Way]>([
    ['nothing at all had been synced', { durable: false }],
    ['all had been synced but packs, journal and their folders', { disk: { module: '../forgetful-disk.mjs' } }],
  ])(
    'and %s, the loss is noticed',
    async (_what, way) => {
      const random = randomFrom(testSeed(`power cuts of ${kind} without syncs`));
      const wrong: string[] = [];
      for (let cut = 0; cut < 5 && wrong.length === 0; cut++) {
        const play = await Play.on(kind, random);
        await play.cut('dropped', way).then(
          (result) => wrong.push(...result.wrong.map(({ kind: what }) => what)),
          (error: Error) => wrong.push(error.message),
        );
      }
      console.log(`${kind}: ${[...new Set(wrong)].join(', ').slice(0, 300)}`);
      expect(wrong).not.toEqual([]);
    },
    600_000,
  );

  onDisk.each<[string, boolean]>([
    ['a mounted folder and its store', true],
    ['a mounted folder alone', false],
  ])(
    "beneath %s: versions stay, others' files are whole, and the folder is mounted again",
    async (_what, storeToo) => {
      const random = randomFrom(testSeed(`power cuts of a mount on ${kind}`));
      const disk = new LoopDisk(kind);
      const stage = await MountStage.make({ store: storeToo ? disk.dir : tempDir(), folder: disk.dir }, { durable: true });
      const inspector = Child.start('histories/mount-inspector.mjs', {});
      for (let cut = 0; cut < MOUNT_CUTS_A_KIND; cut++) {
        const [seed, writes] = [random(2 ** 31), 1 + random(40)];
        const owner = stage.begin({ seed });
        await untilWritten(owner, writes, random);
        const how = random(3) === 0 ? 'flushed' : 'dropped';
        disk.cut(how);
        await owner.kill();
        disk.restart();
        const wrong = await stage.settle(owner.said, inspector, { rebooted: true });
        expect(wrong, `cut ${cut}, journal ${how}, after ${writes} writes with seed ${seed}`).toEqual([]);
      }
      inspector.stop();
      await inspector.succeeds();
      tell(`power cuts of a mount, ${kind}`, { cuts: MOUNT_CUTS_A_KIND, ...stage.counts });
    },
    3_600_000,
  );
});
