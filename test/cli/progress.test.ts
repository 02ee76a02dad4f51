import { expect, test } from 'vitest';
import { describe as shown } from '../../packages/cli/src/progress.js';

test('what goes through a whole store shows its phase, and counts packs and objects as what they are', () => {
  const progress = { bytes: 0, files: 0, newBytes: 0 };
  expect(shown('verify', { ...progress, phase: 'checking packs', steps: { of: 'packs', done: 1, total: 3 } }, 1)).toEqual({
    label: 'verify: checking packs',
    figures: '1 of 3 packs',
    done: 1,
    total: 3,
  });
  const reading = { ...progress, bytes: 1 << 20, totalBytes: 1 << 21, steps: { of: 'packs', done: 1, total: 2 } as const };
  expect(shown('repair', { ...reading, phase: 'reading packs' }, 2)).toMatchObject({
    label: 'repair: reading packs',
    done: 1 << 20,
    total: 1 << 21,
  });
  expect(shown('repair', { ...reading, phase: 'reading packs' }, 2).figures).toMatch(/^\S+ \S+ of \S+ \S+, \S+ \S+\/s, 1 of 2 packs$/);
  expect(shown('verify', { ...progress, phase: 'checking the index', steps: { of: 'objects', done: 1 } }, 1)).toMatchObject({
    figures: '1 object',
    total: undefined,
  });
  expect(shown('put', { ...progress, phase: 'storing', files: 2 }, 1)).toMatchObject({ label: 'put', done: 0, total: undefined });
});
