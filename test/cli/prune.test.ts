import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { BIN, lines, noise, RECENT, useWorkplace } from './support/cairn.js';

const place = useWorkplace();
let ids: string[];

/** Six versions, of which the second and the fourth have the lowest loss. */
beforeEach(async () => {
  await place.at.inStore(async (store) => {
    const volume = await store.volumes.fromName('v', { createIfMissing: true });
    for (const [i, loss] of [5, 1, 4, 2, 3, 6].entries()) {
      await volume.writeFile('a', noise(String(i), 9000));
      await volume.commit({ message: `step ${i + 1}`, metadata: { 'eval:loss': loss } });
    }
    await volume.tag('release', 'HEAD~5');
  });
  ids = await place.at.ids('v');
});

describe('prune', () => {
  test('prints what it removed and what that freed, and keeps what a rule or a tag keeps', async () => {
    const { at } = place;
    const dry = await at.ok('prune', 'v', '--keep-last', '2', '--keep-best', 'eval:loss:min', '-n');
    const [heading, ...rows] = lines(dry.stdout);
    expect(heading).toMatch(/^VERSION +AGE +MESSAGE$/);
    expect(rows).toEqual([
      expect.stringMatching(new RegExp(`^${ids[2]!.slice(0, 12)} +${RECENT} +step 4$`)),
      expect.stringMatching(new RegExp(`^${ids[3]!.slice(0, 12)} +${RECENT} +step 3$`)),
      expect.stringMatching(/^would remove 2 versions, kept 4; would free 1\d(\.\d)? KiB$/),
    ]);
    expect(await at.ids('v')).toEqual(ids);
    const done = await at.ok('prune', 'v', '--keep-last', '2', '--keep-best', 'eval:loss:min', '-y');
    expect(lines(done.stdout).at(-1)).toMatch(/^removed 2 versions, kept 4; freed 1\d(\.\d)? KiB$/);
    expect(await at.ids('v')).toEqual([ids[0], ids[1], ids[4], ids[5]]);
    expect((await at.ok('prune', 'v', '--keep-last', '2', '--keep-best', 'eval:loss:min:2')).stdout).toBe(
      'removed 0 versions, kept 4; freed 0 B\n',
    );
  });

  test('--json prints one document', async () => {
    const report = await place.at.json('prune', 'v', '--keep-every', '3', '--keep-within', '0s', '-y').catch(() => undefined);
    expect(report).toBeUndefined();
    expect(await place.at.json('prune', 'v', '--keep-every', '3', '-y')).toMatchObject({
      volume: 'v',
      removed: [{ id: ids[1] }, { id: ids[2] }, { id: ids[4] }],
      kept: 3,
      freed: expect.any(Number) as number,
      dryRun: false,
    });
    expect(await place.at.json('prune', 'v', '--keep-within', '2w', '-n')).toMatchObject({ removed: [], kept: 3, dryRun: true });
  });

  test.runIf(existsSync('/usr/bin/script'))('asks on a terminal, and says there what it is about', () => {
    const { at } = place;
    const answer = (text: string): string =>
      execFileSync('/usr/bin/script', ['-qec', `'${process.execPath}' '${BIN}' prune v --keep-last 2`, '/dev/null'], {
        env: { PATH: process.env['PATH'], TERM: 'xterm', NO_COLOR: '1', CAIRN_STORE: at.store },
        input: text,
      }).toString();
    const refused = answer('n\n');
    expect(refused).toMatch(/Remove 3 versions of v, and free 2\d(\.\d)? KiB\? \[y\/N\]/);
    expect(refused).toContain('left v as it is');
    expect(answer('y\n')).toContain('removed 3 versions, kept 3; freed');
  });

  test('has to be confirmed, and needs a rule', async () => {
    const { at } = place;
    const refused = await at.run(['prune', 'v', '--keep-last', '1'], { input: 'y\n' });
    expect(refused).toMatchObject({ code: 2, stdout: '' });
    expect(refused.stderr).toContain('--yes');
    for (const [args, message] of [
      [[], /without rules .*\n {2}hint: say what to keep/],
      [['--keep-last', '0'], /'0' is not a number/],
      [['--keep-within', '7'], /no length of time\n {2}hint: .* 7d/],
      [['--keep-best', 'loss'], /hint: write --keep-best loss:min/],
    ] as const) {
      const result = await at.run(['prune', 'v', '-y', ...args]);
      expect(result).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(message) as string });
    }
    expect(await at.run(['prune', 'v@HEAD~1', '--keep-last', '1', '-y'])).toMatchObject({ code: 2 });
    expect(await at.ids('v')).toEqual(ids);
  });
});
