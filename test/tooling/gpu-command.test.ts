import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it, vi } from 'vitest';
import { main } from '../../packages/gpu-runner/src/command/main.js';

const at = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const page = readFileSync(at('docs/gpu-command.md'), 'utf8');

async function help(...words: string[]): Promise<string> {
  const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  try {
    expect(await main([...words, '--help'])).toBe(0);
    return write.mock.calls.map(([text]) => String(text)).join('');
  } finally {
    write.mockRestore();
  }
}

it('docs/gpu-command.md explains every option of every command of cairn-gpu, and none that does not exist', async () => {
  const commands = [...(await help()).matchAll(/^ {2}([a-z]+) .*$/gm)].map(([, name = '']) => name).filter((name) => name !== 'help');
  expect(commands.sort()).toEqual(['list', 'load', 'metrics', 'run', 'serve']);
  const real: string[] = [];
  for (const name of commands)
    for (const [, option = ''] of (await help(name)).matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)) real.push(`${name} ${option}`);
  const ofServe = [...page.matchAll(/^\| `(--[a-z-]+)[^|]*` \| [^|]* \|$/gm)].map(([, option = '']) => `serve ${option}`);
  const ofOthers = [...page.matchAll(/^\| (?:`-\w`, )?`(--[a-z-]+)[^|]*` \| (`[^|]*`) \| [^|]* \|$/gm)].flatMap(([, option = '', names = '']) =>
    names.split(', ').map((name) => `${name.replaceAll('`', '')} ${option}`),
  ); // prettier-ignore
  expect([...ofServe, ...ofOthers].sort()).toEqual(real.filter((one) => !one.endsWith(' --help')).sort());
});

it('docs/gpu-command.md explains every metric, and none that does not exist', () => {
  const sources = ['service', 'runner'].flatMap((folder) =>
    readdirSync(at(`packages/gpu-runner/src/${folder}`)).map((name) => readFileSync(at(`packages/gpu-runner/src/${folder}/${name}`), 'utf8')),
  ); // prettier-ignore
  const real = sources.flatMap((text) => [
    ...[...text.matchAll(/\b(counter|gauge)\(\s*'([a-z_]+)'/g)].map(([, type = '', name = '']) => `cairn_gpu_${name} ${type}`),
    ...[...text.matchAll(/name: '(cairn_gpu_[a-z_]+)'[^}]*?type: '(counter|gauge)'/g)].map(([, name = '', type = '']) => `${name} ${type}`),
  ]);
  expect(real.length).toBeGreaterThan(15);
  const documented = [...page.matchAll(/^\| `(cairn_gpu_[a-z_]+)` \| (\w+) \|/gm)].map(([, name = '', type = '']) => `${name} ${type}`);
  expect(documented.sort()).toEqual(real.sort());
});
