import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { tempDir } from '../support/temp-dir.js';
import { runExample } from './support.js';

it('the program moved over from Modal does what it did there, and has its history', async () => {
  const [local, store] = [tempDir(), tempDir()];
  writeFileSync(join(local, 'tokenizer.json'), '{}');
  mkdirSync(join(local, 'base-model'));
  writeFileSync(join(local, 'base-model', 'weights.bin'), 'base');
  const expected = [
    '4000 bytes served',
    'base',
    'tuned',
    'base/model',
    'base/tokenizer.json',
    'base/model/weights.bin',
    'tuned/weights.bin',
    '4000',
    'in the version before: 4000 bytes',
  ];
  const lines = (await runExample('from-modal', store, local)).trim().split('\n');
  expect([...lines].sort()).toEqual([...expected].sort());
  // Moved over, it can be run again, as there.
  expect((await runExample('from-modal', store, local)).trim().split('\n')).toContain('best.bin');
});
