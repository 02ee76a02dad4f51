import { expect, it } from 'vitest';
import { runExample } from './support.js';

it('onnx-inference: three processes give the numbers of a load from disk, by one copy of the weights, before and after a reload', async () => {
  const output = await runExample('onnx-inference');
  expect(output.match(/identical to a load from disk in 3 processes/g)).toHaveLength(2);
  const [, resident, shares] = /weights mapped: ([\d.]+) MiB in all accounts, ([\d.]+) MiB of memory/.exec(output)!;
  expect(Number(shares)).toBeLessThan(0.4 * Number(resident));
  const [, read, reused] = /version 2: (\d+) bytes read, (\d+) taken over/.exec(output)!;
  expect(Number(read)).toBeLessThan(0.05 * Number(reused));
  expect(output).toMatch(/done$/m);
});
