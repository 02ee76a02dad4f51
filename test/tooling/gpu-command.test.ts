import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it, vi } from 'vitest';
import { main } from '../../packages/gpu-runner/src/command/main.js';

const at = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const read = (path: string): string => readFileSync(at(path), 'utf8');
const page = read('docs/gpu-command.md');

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

it('docs/gpu-protocol.md explains every request and every field of a model, and none that does not exist', () => {
  const protocol = read('docs/gpu-protocol.md');
  const names = (text: string, pattern: RegExp): string[] => [...new Set([...text.matchAll(pattern)].map(([, name = '']) => name))].sort();
  const operations = names(read('packages/gpu-runner/src/protocol/messages.ts'), /\bop: '([a-z]+)'/g);
  expect(operations).toHaveLength(7);
  expect(names(protocol, /^\| `\{"id", "op": "([a-z]+)"/gm)).toEqual(operations);
  const fieldsOf = (path: string, type: string): string[] =>
    names(
      new RegExp(`export interface ${type} [^{]*\\{([^]*?)\\n\\}`).exec(read(`packages/gpu-runner/src/${path}`))?.[1] ?? '',
      /^ {2}(\w+)\??:/gm,
    );
  const fields = [...fieldsOf('plan/request.ts', 'LoadRequest'), ...fieldsOf('protocol/messages.ts', 'ModelRequest')].sort();
  expect(fields.length).toBeGreaterThan(8);
  const rows = protocol.slice(protocol.indexOf('A `model` is'), protocol.indexOf('With `descriptors`')).matchAll(/^\| (`[^|]*`) \|/gm);
  expect([...rows].flatMap(([, cells = '']) => cells.replaceAll('`', '').split(', ')).sort()).toEqual(fields);
  const slice = /"rank"[^|]*?\}/.exec(protocol)?.[0] ?? '';
  expect(names(slice, /"(\w+)"/g)).toEqual(fieldsOf('plan/request.ts', 'SliceRequest'));
});
