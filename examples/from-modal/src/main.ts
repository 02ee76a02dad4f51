import { openStore } from '@cairn/core';

/*
 * modal_app.py, call by call. Where Modal has an environment in the cloud, this has a folder; where its functions see
 * a mounted path, these use the volume's own files. The full map is docs/coming-from-modal.md.
 */
const [dir, local] = process.argv.slice(2);
if (dir === undefined || local === undefined) {
  console.error('usage: node dist/main.js STORE LOCAL, where LOCAL holds tokenizer.json and base-model/');
  process.exit(2);
}

await using store = await openStore(dir);

/** `@app.function(volumes={"/models": volume})`: a handle of its own, which sees what was committed when it was opened. */
async function train(steps: number): Promise<void> {
  await using volume = await store.volumes.fromName('models');
  const weights = Buffer.alloc(4 * steps);
  for (let step = 0; step < steps; step++) weights.writeUInt32LE(step, 4 * step);
  await volume.writeFile('/tuned/weights.bin', weights);
  await volume.commit({ message: 'fine-tuned', metadata: { steps } }); // Modal's commit has no message: what is in a version can be told apart here
}

// A server that has been up since before the training, so it has to reload.
await using served = await store.volumes.fromName('models', { createIfMissing: true });
async function serve(): Promise<number> {
  await served.reload();
  return (await served.readFile('/tuned/weights.bin')).byteLength;
}

await using volume = await store.volumes.fromName('models', { createIfMissing: true });
// Modal's `with` commits when its block ends, even when that raises; a callback that rejects commits nothing.
await volume.batchUpload(
  async (batch) => {
    await batch.putFile(`${local}/tokenizer.json`, '/base/tokenizer.json');
    await batch.putDirectory(`${local}/base-model`, '/base/model');
  },
  { force: true },
);
await train(1000);
console.log(await serve(), 'bytes served');

await volume.reload();
for (const entry of await volume.listdir('/', { recursive: true })) console.log(entry.path);

// Changes of a handle are its own until it commits: Modal's client calls take effect one by one.
await volume.copy('/tuned/weights.bin', '/best.bin');
console.log((await volume.readFile('/best.bin')).byteLength);
await volume.remove('/tuned', { recursive: true });
await volume.commit({ message: 'keep the best' });

// And what Modal cannot do: the version before is still there.
await using before = await volume.snapshot('HEAD~1');
console.log('in the version before:', (await before.stat('/tuned/weights.bin')).size, 'bytes');
