import { join } from 'node:path';
import { rm } from 'node:fs/promises';
import type { Context } from '../context.js';
import { withWorkFolder } from '../context.js';
import { binarySize } from '../datasets/dataset.js';
import type { Dataset } from '../datasets/dataset.js';
import { watchMemory } from '../measure/memory.js';
import type { MemoryPeak } from '../measure/memory.js';
import { runCommand } from '../peers/run-command.js';
import { Subject } from '../subject/client.js';
import { ratio, value } from './findings.js';
import type { Measurement, Row, Series } from './row.js';
import { initialise, repository } from './tools.js';

const MIB = 2 ** 20;
const IDLE = 'node with an open store';

export const memoryRow: Row = {
  id: 'memory',
  title: 'Peak memory while storing',
  async measure(context) {
    const { flags, library, peers, log } = context;
    const datasets: Dataset[] = [];
    for (const bytes of flags.sizes.memoryBytes) datasets.push(await library.weights('bf16', bytes));
    return withWorkFolder(context, 'memory', async (dir) => {
      const measured: [string, boolean, MemoryPeak][] = [[IDLE, true, await peakOfCairn(dir)]];
      for (const data of datasets) measured.push([`cairn, ${binarySize(data.bytes)}`, true, await peakOfCairn(dir, data)]);
      const [smallest] = datasets as [Dataset];
      for (const peer of peers.available.filter(({ init }) => init !== undefined)) {
        measured.push([`${peer.name}, ${binarySize(smallest.bytes)}`, false, await peakOfTool(context, peer.name, dir, smallest)]);
      }
      for (const [name, , peak] of measured) log(`  ${name}: ${Math.round(peak.resident / MIB)} MiB`);
      const series = [
        asSeries('Peak resident set', measured, 'resident'),
        asSeries('Of it, memory of its own (anonymous)', measured, 'anonymous'),
      ];
      const [resident] = series as [Series, Series];
      const names = datasets.map(({ bytes }) => `cairn, ${binarySize(bytes)}`);
      const first = names[0] as string;
      const last = names.at(-1) as string;
      return {
        dataset: `one safetensors file of bf16 weights: ${flags.sizes.memoryBytes.map(binarySize).join(' / ')}`,
        method:
          'A fresh process with two workers stores the file in an empty store. The peak is the high-water mark of the resident set that the kernel keeps (VmHWM), threads and mapped files included; anonymous memory is sampled every 20 ms. One run each: memory does not vary as times do. Peers store the smallest file.',
        series,
        findings: [
          ...value(resident, last, `peak, ${last}`, 'memory/peak'),
          ...(names.length > 1 ? ratio(resident, last, first, `${last} over ${first}`) : []),
        ],
        missing: peers.missing,
      };
    });
  },
};

async function peakOfCairn(dir: string, data?: Dataset): Promise<MemoryPeak> {
  const store = join(dir, 'store');
  await rm(store, { recursive: true, force: true });
  await using subject = new Subject();
  const watch = watchMemory(subject.pid);
  await subject.call('openStore', store, { workers: 2 });
  if (data !== undefined) await subject.call('storeFolder', store, data.dir);
  return await watch.stop();
}

/** A command may be gone before the last sample, so its peak is that of the samples. */
async function peakOfTool({ peers }: Context, name: string, dir: string, data: Dataset): Promise<MemoryPeak> {
  const peer = peers.available.find((candidate) => candidate.name === name);
  if (peer === undefined) throw new Error(`no peer is called ${name}`);
  const repo = repository(dir, peer);
  await initialise(peer, repo);
  const watches: ReturnType<typeof watchMemory>[] = [];
  await runCommand(peer.store(data.dir, repo, 'first'), { onStart: (pid) => watches.push(watchMemory(pid)) });
  const [watch] = watches;
  if (watch === undefined) throw new Error(`${name} did not start`);
  return watch.stop();
}

function asSeries(title: string, measured: readonly [string, boolean, MemoryPeak][], kind: keyof MemoryPeak): Series {
  const measurements = measured.map(([name, ours, peak]): Measurement => ({ name, ours, samples: [peak[kind] / MIB] }));
  return { title, unit: 'MiB', measurements };
}
