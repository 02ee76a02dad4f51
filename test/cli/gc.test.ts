import { beforeEach, describe, expect, test } from 'vitest';
import { noise, useWorkplace } from './support/cairn.js';

const place = useWorkplace();

/** Of six versions the newest is left. */
beforeEach(async () => {
  await place.at.inStore(async (store) => {
    const volume = await store.volumes.fromName('v', { createIfMissing: true });
    for (let i = 0; i < 6; i++) {
      await volume.writeFile('a', noise(String(i), 90_000));
      await volume.commit();
    }
    await volume.prune({ keepLast: 1 });
  });
});

describe('gc', () => {
  test('says what it would free, frees just that, and has nothing left to free then', async () => {
    const { at } = place;
    const freed = /^would free (4\d\d KiB): would drop 5 packs, rewrite 0; 8\d(?:\.\d)? KiB stay\n$/.exec(
      (await at.ok('gc', '-n')).stdout,
    )?.[1];
    expect(freed).toBeDefined();
    expect((await at.ok('gc')).stdout).toMatch(new RegExp(`^freed ${freed!}: dropped 5 packs, rewrote 0; `));
    expect(await at.json('gc')).toMatchObject({ packsDropped: 0, packsRewritten: 0, freed: 0, waiting: 0, blockedBy: [], dryRun: false });
    expect((await at.ok('verify', '--read-data')).stdout).toContain('no damage');
  });

  test('optimize tells packs and bytes before and after', async () => {
    const { at } = place;
    expect((await at.ok('optimize', '-n')).stdout).toMatch(/^6 packs of 5\d\d KiB would become 1 of 8\d(\.\d)? KiB\n$/);
    expect(await at.json('optimize')).toMatchObject({ packsBefore: 6, packsAfter: 1, dryRun: false });
  });
});
