import { parseArgs } from 'node:util';
import { openStore } from '@cairn/core';
import { cachedStep } from './cached-step.js';

const { values, positionals } = parseArgs({
  options: { store: { type: 'string' }, input: { type: 'string', multiple: true }, output: { type: 'string' } },
  allowPositionals: true,
});
const [command, ...args] = positionals;
if (values.store === undefined || values.output === undefined || command === undefined) {
  console.error('usage: node dist/main.js --store DIR --input FILE|DIR… --output DIR -- COMMAND…');
  process.exit(2);
}

await using store = await openStore(values.store);
await using cache = await store.volumes.fromName('artifacts', { createIfMissing: true });
const { hit, key } = await cachedStep(cache, { command: [command, ...args], inputs: values.input ?? [], output: values.output });
console.log(`${hit ? 'from the cache' : 'made'}: ${values.output} (${key.slice(0, 12)})`);
