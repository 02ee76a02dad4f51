import { writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { safetensorsHeader } from '../chunking/samples.js';
import { lines, noise, RECENT, useWorkplace } from './support/cairn.js';

const place = useWorkplace('shared');
const WEIGHTS = noise('weights', 300_000);
let ids: string[];

/** Three versions: `a` added, `b` added, `a` changed. */
beforeAll(async () => {
  const { at } = place;
  await at.seed('v');
  writeFileSync(at.path('a'), WEIGHTS);
  writeFileSync(at.path('b b'), 'b');
  await at.ok('put', 'v', 'a', '-m', 'first', '--meta', 'loss=0.5');
  await at.ok('put', 'v', 'b b', '-m', 'second');
  writeFileSync(at.path('a'), Buffer.concat([WEIGHTS, Buffer.from('more')]));
  await at.ok('put', 'v', 'a', '-f', '-m', 'third');
  await at.ok('tag', 'v', 'mid', 'HEAD~1');
  ids = await at.ids('v');
});

describe('log', () => {
  test('prints id, age, changed files, new bytes, tags and message, newest first', async () => {
    const { at } = place;
    const [heading, third, second, first, ...others] = lines((await at.ok('log', 'v')).stdout);
    expect(others).toEqual([]);
    expect(heading).toMatch(/^VERSION +AGE +CHANGED +NEW +MESSAGE$/);
    expect(third).toMatch(new RegExp(`^${ids[0]!.slice(0, 12)} +${RECENT} +~1 +[\\d.]+ [KM]iB  third$`));
    expect(second).toMatch(/ \+1 +1 B {2}\(mid\) second$/);
    expect(first).toMatch(/ \+1 +293 KiB {2}first$/);
    expect(new Set([heading!.indexOf('MESSAGE'), third!.indexOf('third'), first!.indexOf('first')]).size).toBe(1);
    await at.seed('empty');
    expect((await at.ok('log', 'empty')).stdout).toBe('');
  });

  test('-n limits, REF begins further back, PATH keeps what changed it', async () => {
    const { at } = place;
    const messages = async (...args: string[]): Promise<string[]> =>
      (await at.records<{ message: string }>('log', ...args)).map(({ message }) => message);
    expect(await messages('v', '-n', '1')).toEqual(['third']);
    expect(await messages('v', '-n', '0')).toEqual([]);
    expect(await messages('v@mid')).toEqual(['second', 'first']);
    expect(await messages('v', 'a')).toEqual(['third', 'first']);
    expect(await messages('v:/b b')).toEqual(['second']);
  });

  test('--json prints one version a line', async () => {
    expect(await place.at.records('log', 'v', '-n', '2')).toMatchObject([
      { id: ids[0], parent: ids[1], volume: 'v', generation: 3, message: 'third', tags: [], files: 2, size: WEIGHTS.length + 5 },
      {
        id: ids[1],
        parent: ids[2],
        generation: 2,
        tags: ['mid'],
        files: 2,
        size: WEIGHTS.length + 1,
        newBytes: 1,
        changes: { added: 1, modified: 0, removed: 0 },
      },
    ]);
  });
});

describe('show', () => {
  test('prints one version as fields and as a document', async () => {
    const { at } = place;
    const text = (await at.ok('show', 'v@HEAD~2')).stdout;
    expect(text).toMatch(
      new RegExp(
        `^id: +${ids[2]}\\nvolume: +v\\nversion: +1\\ncreated: .*\\nmessage: +first\\nmetadata: +loss=0.5\\nfiles: +1\\nsize: +293 KiB\\nnew bytes: +293 KiB\\n$`,
      ),
    );
    expect(await at.json('show', `v@${ids[1]!.slice(0, 8)}`)).toMatchObject({ id: ids[1], tags: ['mid'], message: 'second', metadata: {} });
    expect(await at.json('show', 'v')).toMatchObject({ id: ids[0] });
  });
});

describe('diff', () => {
  test('prints letter, path and bytes', async () => {
    const { at } = place;
    expect((await at.ok('diff', 'v')).stdout).toMatch(/^M\ta\t\d+\n$/);
    expect((await at.ok('diff', 'v@HEAD~2', 'v@mid')).stdout).toBe('A\tb b\t1\n');
    expect((await at.ok('diff', 'v@mid', 'v@HEAD~2')).stdout).toBe('D\tb b\t1\n');
    expect((await at.ok('diff', 'v@HEAD~2:/b b')).stdout).toBe('A\tb b\t1\n');
    expect((await at.ok('diff', 'v@mid', 'v@mid')).stdout).toBe('');
  });

  test('--json prints one change a line', async () => {
    expect(await place.at.records('diff', 'v@HEAD~2')).toMatchObject([
      { type: 'modified', path: 'a', before: { size: WEIGHTS.length }, after: { size: WEIGHTS.length + 4 } },
      { type: 'added', path: 'b b', changedBytes: 1 },
    ]);
  });

  test('--tensors names what differs within weights', async () => {
    const { at } = place;
    const model = (version: string): Buffer =>
      Buffer.concat([
        safetensorsHeader([
          { name: 'embed', offsets: [0, 1000] },
          { name: 'head', offsets: [1000, 1000 + (1 << 20) + 5] },
        ]),
        noise('embed', 1000),
        noise('head', 1 << 20),
        Buffer.from(version),
      ]);
    await at.seed('weights');
    for (const version of ['one..', 'two..']) {
      writeFileSync(at.path('m.safetensors'), model(version));
      await at.ok('put', 'weights', 'm.safetensors', '-f');
    }
    expect((await at.ok('diff', 'weights', '--tensors')).stdout).toBe('M\tm.safetensors\t5\nM\tm.safetensors\t5\thead\t1\t2\n');
    expect(await at.records('diff', 'weights', '--tensors')).toMatchObject([
      { path: 'm.safetensors', tensors: [{ name: 'head', type: 'modified', changedBlocks: 1, blocks: 2, changedBytes: 5 }] },
    ]);
    expect((await at.records('diff', 'weights'))[0]).not.toHaveProperty('tensors');
  });

  test('compares versions of two volumes', async () => {
    const { at } = place;
    await at.ok('volume', 'fork', 'v@HEAD~1', 'w');
    expect((await at.ok('diff', 'v', 'w')).stdout).toMatch(/^M\ta\t\d+\n$/);
    expect((await at.ok('diff', 'w', 'v@mid')).stdout).toBe('');
  });

  test('--exit-code is 10 when there are differences, 0 when there are none', async () => {
    const { at } = place;
    expect(await at.run(['diff', 'v', '--exit-code'])).toMatchObject({ code: 10 });
    expect(await at.run(['diff', 'v@mid', 'v@mid', '--exit-code'])).toMatchObject({ code: 0 });
    expect(await at.run(['diff', 'v'])).toMatchObject({ code: 0 });
  });
});

describe('tag', () => {
  test('lists the tags of a volume', async () => {
    const { at } = place;
    const [heading, row] = lines((await at.ok('tag', 'v')).stdout);
    expect(heading).toMatch(/^TAG +VERSION +AGE +MESSAGE$/);
    expect(row).toMatch(new RegExp(`^mid +${ids[1]!.slice(0, 12)} .* second$`));
    expect(await at.records('tag', 'v')).toMatchObject([{ name: 'mid', volume: 'v', snapshot: ids[1], message: 'second' }]);
  });
});
