import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { tempDir } from '../support/temp-dir.js';
import { runExample } from './support.js';

describe('the artefact cache', () => {
  it('runs a command only when its inputs are new, and brings back what they made before', async () => {
    const [dir, store] = [tempDir(), tempDir()];
    const [source, output, count] = [join(dir, 'source'), join(dir, 'out'), join(dir, 'count')];
    writeFileSync(count, '');
    const command = ['sh', '-c', `tr a-z A-Z < ${source} > ${output}/upper; echo ran >> ${count}`];
    const build = (text: string): Promise<string> => {
      writeFileSync(source, text);
      return runExample('artifact-cache', '--store', store, '--input', source, '--output', output, '--', ...command);
    };
    const runs = (): number => readFileSync(count, 'utf8').split('\n').length - 1;
    const made = (): string => readFileSync(join(output, 'upper'), 'utf8');

    expect(await build('one')).toMatch(/^made:/);
    expect([runs(), made()]).toEqual([1, 'ONE']);
    expect(await build('two')).toMatch(/^made:/);
    expect([runs(), made()]).toEqual([2, 'TWO']);
    expect(await build('one')).toMatch(/^from the cache:/);
    expect([runs(), made()]).toEqual([2, 'ONE']);
  });

  it('keeps nothing of a command that failed', async () => {
    const [dir, store] = [tempDir(), tempDir()];
    const build = (): Promise<string> =>
      runExample('artifact-cache', '--store', store, '--output', join(dir, 'out'), '--', 'sh', '-c', `touch ${dir}/out/half; exit 3`);
    await expect(build()).rejects.toThrow('sh ended with 3');
    await expect(build()).rejects.toThrow('sh ended with 3');
  });
});
