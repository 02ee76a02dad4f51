import { expect, it } from 'vitest';
import { judge, targetOf } from '../../bench/dist/targets.js';

it('a target is met at its limit, and missed beyond it, in its own direction', () => {
  expect(judge(1, targetOf('restore/cp'))).toBe('met');
  expect(judge(1.01, targetOf('restore/cp'))).toBe('missed');
  expect(judge(3, targetOf('first-store/borg'))).toBe('met');
  expect(judge(2.99, targetOf('first-store/borg'))).toBe('missed');
});

it('a target that counts on an encoding to come is no miss, but met when it is met', () => {
  expect(judge(1, targetOf('size/bf16'))).toBe('later');
  expect(judge(0.66, targetOf('size/bf16'))).toBe('met');
});
