import { writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { safetensorsHeader } from '../chunking/samples.js';
import { lines, noise, useWorkplace } from './support/cairn.js';

const place = useWorkplace('shared');

beforeAll(async () => {
  const { at } = place;
  const header = safetensorsHeader([
    { name: 'embed', dtype: 'BF16', shape: [200, 50], offsets: [0, 20_000] },
    { name: 'scale\n', dtype: 'F32', shape: [], offsets: [20_000, 20_004] },
  ]);
  await at.inStore(async (store) => {
    const volume = await store.volumes.fromName('v', { createIfMissing: true });
    await volume.writeFile('m.safetensors', Buffer.concat([header, noise('m', 20_004)]));
    await volume.commit();
    await volume.writeFile('b', noise('b', 50_000));
    await volume.writeFile('m.safetensors', 'no weights');
    await volume.commit();
    await store.volumes.fork('v', 'w', { at: 'HEAD~1' });
  });
  writeFileSync(at.path('x'), '');
});

describe('tensors', () => {
  test('lists name, dtype, shape and bytes of each, of any version', async () => {
    const { at } = place;
    const [heading, embed, scale, total, ...none] = lines((await at.ok('tensors', 'v@HEAD~1', 'm.safetensors')).stdout);
    expect(none).toEqual([]);
    expect(heading).toMatch(/^NAME +DTYPE +SHAPE +BYTES$/);
    expect(embed).toMatch(/^embed +BF16 +\[200, 50\] +20000$/);
    expect(scale).toMatch(/^scale\\x0a +F32 +\[\] +4$/);
    expect(total).toBe('2 tensors, 19.5 KiB');
    expect(lines((await at.ok('tensors', 'v@HEAD~1:/m.safetensors', '-q')).stdout)).toHaveLength(3);
  });

  test('--json prints one a line; another file is wrong usage', async () => {
    const { at } = place;
    expect(await at.records('tensors', 'w:/m.safetensors')).toMatchObject([
      { name: 'embed', dtype: 'BF16', shape: [200, 50], path: 'm.safetensors', size: 20_000, contentId: expect.any(String) as string },
      { name: 'scale\n', dtype: 'F32', shape: [], size: 4 },
    ]);
    expect(await at.run(['tensors', 'v', 'm.safetensors'])).toMatchObject({ code: 2, stdout: '' });
  });
});

describe('usage', () => {
  test('says of each volume what it alone keeps, with -v of each version, and what all of it takes', async () => {
    const { at } = place;
    const [newest, first] = await at.ids('v');
    const [heading, v, w, total, ...none] = lines((await at.ok('usage')).stdout);
    expect(none).toEqual([]);
    expect(heading).toMatch(/^VOLUME +VERSIONS +EXCLUSIVE$/);
    expect(v).toMatch(/^v +2 +49(\.\d)? KiB$/);
    expect(w).toMatch(/^w +1 +0 B$/);
    expect(total).toMatch(/^68\.5 KiB in all versions, \d\d(\.\d)? KiB on disk \(\d+\.\d %\), 0 B of it unreachable$/);
    const rows = lines((await at.ok('usage', '-v')).stdout);
    expect(rows.slice(2, 4)).toEqual([
      expect.stringMatching(new RegExp(`^  ${newest!.slice(0, 12)} +49(\\.\\d)? KiB$`)),
      expect.stringMatching(new RegExp(`^  ${first!.slice(0, 12)} +0 B$`)),
    ]);
    const report = await at.json<{ volumes: { name: string; snapshots: { id: string; exclusive: number }[] }[] }>('usage');
    expect(report).toMatchObject({ logical: expect.any(Number) as number, unreachable: 0, volumes: [{ name: 'v' }, { name: 'w' }] });
    expect(report.volumes[0]!.snapshots.map(({ id }) => id)).toEqual([first, newest]);
  });
});
