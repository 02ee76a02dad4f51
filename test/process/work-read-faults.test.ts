import { lstatSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { codeOf } from '../support/failures.js';
import { READS } from '../support/faulty-disk.mjs';
import { FaultyReads } from '../support/faulty-reads.js';
import { makeGarbage } from '../support/garbage.js';
import { digestOf } from '../support/histories/inspection.mjs';
import { stateOf } from '../support/operations.mjs';
import { noise } from '../support/random.js';
import { tempDir } from '../support/temp-dir.js';

/** A long run has all of them. */
const FAULTS = (
  [
    ['EIO', READS],
    ['EMFILE', ['open', 'list']],
    ['short', ['read']],
  ] as const
).filter(([error]) => error === 'EIO' || process.env['CAIRN_TEST_FAULTS'] === 'all');

/** What is in a mounted folder, as `stateOf` tells of a volume. */
function filesIn(folder: string): Record<string, string> {
  const files: Record<string, string> = {};
  for (const path of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (path.startsWith('.cairn-mount')) continue;
    const stat = lstatSync(join(folder, path));
    if (stat.isDirectory()) files[path] = 'folder';
    else files[path] = stat.isSymbolicLink() ? `-> ${readlinkSync(join(folder, path))}` : digestOf(readFileSync(join(folder, path)));
  }
  return files;
}

describe('when a read fails while a store is collected or optimized', () => {
  test.each(FAULTS)(
    'by %s, that is told or makes no difference, nothing that is needed is taken, and the next one ends what it began',
    async (error, kinds) => {
      const faulty = new FaultyReads(error, kinds);
      const store = await faulty.filled();
      // What mounts need is read, too.
      await (await (await store.volumes.fromName('main')).mount(join(tempDir(), 'folder'))).close();
      let seed = 0;
      for (const call of ['gc', 'optimize'] as const) {
        await makeGarbage(store, ++seed);
        const before = await stateOf(store, new Map());
        let failed = 0;
        await faulty.failEach(
          (): Promise<unknown> => store[call](),
          async (failure) => {
            if (failure !== undefined) {
              failed++;
              expect(codeOf(failure), call).toBe(error);
              expect(failure).toHaveProperty('hint');
            }
            expect(await store.verify(), call).toMatchObject({ ok: true, damage: [] });
            await store[call]();
            await makeGarbage(store, ++seed);
          },
        );
        expect(failed > 0, call).toBe(error !== 'short');
        const { main, ...others } = await stateOf(store, new Map());
        expect({ ...others, main: main!.tags }).toEqual({ ...before, main: before['main']!.tags });
        expect((await store.verify({ readData: true })).damage).toEqual([]);
        await store.gc();
        const { stored, unreachable } = await store.usage();
        expect(unreachable).toBeLessThanOrEqual(0.05 * stored);
      }
    },
    300_000,
  );
});

describe('when a read fails while a folder is mounted or reloaded', () => {
  test.each(FAULTS)(
    'by %s, that is told or makes no difference, no edit is lost, and the same call works when repeated',
    async (error, kinds) => {
      const faulty = new FaultyReads(error, kinds);
      const store = await faulty.filled();
      const folder = join(tempDir(), 'folder');
      const expected = (await stateOf(store, new Map()))['main']!.files;
      const mounted = await faulty.failEach(
        async () => (await store.volumes.fromName('main')).mount(folder),
        async (failure, mount) => {
          if (failure !== undefined) expect(codeOf(failure)).toBe(error);
          const whole = mount ?? (await (await store.volumes.fromName('main')).mount(folder));
          expect(filesIn(folder)).toEqual(expected);
          expect(await whole.status()).toMatchObject({ added: [], modified: [], removed: [] });
          await whole.close({ removeFiles: true });
        },
      );
      expect(mounted).toBeGreaterThan(0);

      const mount = await (await store.volumes.fromName('main')).mount(folder);
      onTestFinished(() => mount.close());
      writeFileSync(join(folder, 'mine'), 'edited');
      let round = 0;
      const others = async (): Promise<void> => {
        const volume = await store.volumes.fromName('main');
        await volume.writeFile('theirs', noise(70_000, ++round));
        await volume.writeFile(`new/${round % 3}`, `${round}`);
        await volume.commit();
        await volume.close();
      };
      await others();
      const reloaded = await faulty.failEach(
        () => mount.reload(),
        async (failure) => {
          if (failure !== undefined) {
            expect(codeOf(failure)).toBe(error);
            await mount.reload();
          }
          const { main } = await stateOf(store, new Map());
          expect(filesIn(folder)).toEqual({ ...main!.files, mine: digestOf(Buffer.from('edited')) });
          await others();
        },
      );
      expect(reloaded).toBeGreaterThan(0);
    },
    300_000,
  );
});
