import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it, onTestFinished } from 'vitest';
import { safetensorsHeader } from '../chunking/samples.js';
import { noise } from '../contract/support.js';
import { tempDir } from '../support/temp-dir.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const GUIDE = readFileSync(join(ROOT, 'docs', 'guide.md'), 'utf8');

/** The blocks of the guide in a language, in their order. */
function blocks(language: string): string[] {
  return [...GUIDE.matchAll(/^```(\w+)\n(.*?)^```$/gms)].filter(([, of]) => of === language).map(([, , text = '']) => text);
}

it('the guide, typed line by line, works from nothing to a program that reads a model and hears of the next version', async () => {
  const home = tempDir();
  const env = {
    HOME: home,
    PATH: [join(ROOT, 'node_modules', '.bin'), process.env['PATH']].join(delimiter),
    CAIRN_STORE: join(home, 'models'),
  };
  const shell = async (script: string): Promise<string> =>
    (await promisify(execFile)('bash', ['-euo', 'pipefail', '-c', script], { cwd: home, env })).stdout;
  mkdirSync(join(home, 'tinyllama'));
  const weights = Buffer.concat([safetensorsHeader([{ name: 'w', dtype: 'F32', shape: [5000], offsets: [0, 20_000] }]), noise(20_000)]);
  writeFileSync(join(home, 'tinyllama', 'model.safetensors'), weights);
  copyFileSync(join(ROOT, 'examples', 'trainer', 'train.py'), join(home, 'train.py'));

  const printed = await shell(blocks('sh').join('\n'));
  for (const line of ['base/model.safetensors', 'step 60', 'notes', 'release', 'has the files of', 'would remove'])
    expect(printed).toContain(line);

  // What follows is a program of its own, that stays.
  mkdirSync(join(home, 'node_modules', '@cairn'), { recursive: true });
  symlinkSync(join(ROOT, 'packages', 'core'), join(home, 'node_modules', '@cairn', 'core'));
  const [program = ''] = blocks('js');
  const told = program.replace('// And when', "console.log('read', weights.length);\n// And when");
  expect(told).not.toBe(program);
  writeFileSync(join(home, 'serve.mjs'), told);
  const server = spawn(process.execPath, ['serve.mjs'], { cwd: home, env, stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => void server.kill('SIGKILL'));
  let said = '';
  for (const stream of [server.stdout, server.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (said += text));
  const ended = once(server, 'close');
  while (!said.includes(`read ${weights.length}\n`)) {
    await Promise.race([once(server.stdout, 'data'), ended]);
    expect(server.exitCode, said).toBeNull();
  }
  // Nothing tells when it begins to watch: a version that comes before that is not new to it.
  for (let i = 0; !said.includes('new version'); i++) {
    writeFileSync(join(home, 'note'), `${i}`);
    await shell('cairn put llama note /note -f');
    expect(server.exitCode, said).toBeNull();
  }
});
