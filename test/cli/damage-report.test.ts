import { expect, test } from 'vitest';
import { describeDamage } from '../../packages/cli/src/damage-report.js';

const snapshot = 'ab'.repeat(32);

test('damage is told with every place that it touches, a line each, and the tensors that are hit there; terminals obey none of their names', () => {
  const affects = [
    { volume: 'v', snapshot, path: 'model.safetensors', tensor: 'a' },
    { volume: 'v', snapshot, path: 'model.safetensors', tensor: 'b\u001b[2J' },
    { volume: 'v', snapshot, path: 'one.gguf', tensor: 'only' },
    { volume: 'v', snapshot, path: '' },
    ...Array.from({ length: 30 }, (_, i) => ({ volume: 'w', snapshot, path: 'large', tensor: `t${i}` })),
  ];
  expect(describeDamage({ kind: 'chunk', id: 'cd', affects })).toEqual([
    'damaged chunk cd',
    '  v@abababababab:/model.safetensors  tensors a, b\\x1b[2J',
    '  v@abababababab:/one.gguf  tensor only',
    '  v@abababababab:/',
    '  w@abababababab:/large  tensors t0, t1, t2, t3, t4, t5, t6, t7 and 22 more',
  ]);
  expect(describeDamage({ kind: 'pack', id: 'ef', affects: [] })).toEqual(['damaged pack ef', '  no version uses it']);
});
