import { basename, join } from 'node:path';
import type { LoadMetrics } from '@cairn/gpu-runner';
import { withWorkFolder } from '../context.js';
import { binarySize, soleFile } from '../datasets/dataset.js';
import type { Dataset } from '../datasets/dataset.js';
import { settle } from '../measure/conditions.js';
import { interleave } from '../measure/rounds.js';
import type { Contestant } from '../measure/rounds.js';
import { Subject } from '../subject/client.js';
import { openFreshStore } from './cairn.js';
import { ratio, value } from './findings.js';
import type { Row, Series } from './row.js';

/** Models that are made of many experts have thousands. */
const MANY_TENSORS = 3000;
const LOAD = 'load';
const RELOAD = 'reload, 1 % of the blocks changed';
const IN_PLACE = 'reload in place, 1 % of the blocks changed';
/** Of every hundred blocks of 1 MiB one is changed. */
const CHANGED_EVERY = 100;

export const attachRow: Row = {
  id: 'model-attach',
  title: 'A second process takes a model that is loaded',
  async measure(context) {
    const { flags, library, log } = context;
    const { weightsBytes } = flags.sizes;
    return withWorkFolder(context, 'model-attach', async (dir) => {
      await using server = new Subject();
      await using consumer = new Subject();
      const store = join(dir, 'store');
      const socket = join(dir, 'gpu.sock');
      await openFreshStore({ context, subject: server, name: 'daemon', dir: store, workers: 2 });
      await server.call('serveModels', store, socket);
      const [small, large, many] = [binarySize(weightsBytes / 16), binarySize(weightsBytes), `${MANY_TENSORS} small tensors`];
      const datasets: [name: string, data: Dataset][] = [
        [small, await library.weights('bf16', weightsBytes / 16)],
        [large, await library.weights('bf16', weightsBytes, 1)],
        [many, await library.tinyTensors(MANY_TENSORS)],
      ];
      const models: { name: string; path: string }[] = [];
      for (const [name, data] of datasets) {
        await server.call('storeFolder', store, data.dir);
        const path = `${name}.safetensors`;
        await server.call('renameInVolume', store, basename(await soleFile(data)), path);
        await server.call('preload', path);
        models.push({ name, path });
      }
      const time = await interleave(
        { title: 'Time', unit: 'ms', rounds: Math.max(flags.rounds, flags.sizes.starts), log },
        models.map(({ name, path }) => ({
          name,
          ours: true,
          command: 'Client.connect(socket), client.load({ volume, path })',
          run: () => consumer.call('attach', socket, path),
          check: () => consumer.call('detach'),
        })),
      );
      await server.call('stopServing');
      return {
        dataset: `models in a daemon's memory: bf16 weights of ${small} and ${large}, and one of ${many}`,
        method:
          'From before connecting to the daemon until the manifest with all tensors is parsed, the descriptors are open, and the first and the last byte of the model were read: from there on any tensor can be. In a process that has done it before; each time on a new connection. The daemon is another process, has loaded the model before, and looks for the newest version each time.',
        series: [time],
        findings: [
          ...value(time, large, `attached, ${large}`, 'model/attach'),
          ...ratio(time, large, small, `attached: time for ${large} over ${small}`),
          ...value(time, many, `attached, ${many}`),
        ],
        missing: [],
      };
    });
  },
};

export const modelReloadRow: Row = {
  id: 'model-reload',
  title: 'Reload a model of which a little changed',
  async measure(context) {
    const { flags, library, log } = context;
    const data = await library.weights('bf16', flags.sizes.weightsBytes);
    const path = basename(await soleFile(data));
    return withWorkFolder(context, 'model-reload', async (dir) => {
      await using subject = new Subject();
      const store = join(dir, 'store');
      await openFreshStore({ context, subject, name: LOAD, dir: store, workers: 2 });
      await subject.call('storeFolder', store, data.dir);
      // Memory for two versions that was touched before.
      for (let round = 0; round < 2; round++) {
        await subject.call('holdNewest', store, path);
        await subject.call('changeBlocks', store, path, CHANGED_EVERY);
      }
      const shares: number[] = [];
      const inPlaceShares: number[] = [];
      const changing = (name: string, parts: number[], move: () => Promise<{ ms: number; metrics: LoadMetrics }>): Contestant => ({
        name,
        ours: true,
        async prepare() {
          await subject.call('holdNewest', store, path);
          await subject.call('changeBlocks', store, path, CHANGED_EVERY);
          await settle(dir, 0);
        },
        async run() {
          const { ms, metrics } = await move();
          if (metrics.readBytes + metrics.reusedBytes !== metrics.totalBytes) throw new Error('bytes are missing');
          parts.push(metrics.readBytes / metrics.totalBytes);
          return ms;
        },
      });
      const time = await interleave({ title: 'Time', unit: 'ms', rounds: flags.rounds, bytes: data.bytes, log }, [
        {
          name: LOAD,
          ours: true,
          async prepare() {
            await subject.call('letGo');
            await settle(dir, 0);
          },
          run: async () => (await subject.call('holdNewest', store, path)).ms,
        },
        changing(RELOAD, shares, () => subject.call('holdNewest', store, path)),
        changing(IN_PLACE, inPlaceShares, () => subject.call('updateInPlace', store)),
      ]);
      const read: Series = {
        title: 'Bytes read from the store, of the model',
        unit: 'of logical',
        measurements: [
          { name: RELOAD, ours: true, samples: shares },
          { name: IN_PLACE, ours: true, samples: inPlaceShares },
        ],
      };
      return {
        dataset: `${data.description}, then versions in which 8 bytes of one in ${CHANGED_EVERY} blocks of 1 MiB are others`,
        method:
          'Into host memory, verified, by a registry that holds the version before, which stays valid: what did not change is copied within memory, the rest is read from the store; in place only what changed is read and written. A load has nothing to take over.',
        series: [time, read],
        findings: [
          ...value(read, RELOAD, 'bytes read, of the model', 'model/reload'),
          ...value(read, IN_PLACE, 'in place: bytes read and written, of the model', 'model/reload'),
          ...ratio(time, RELOAD, LOAD, 'time of a reload over a load'),
          ...ratio(time, IN_PLACE, LOAD, 'time of a reload in place over a load'),
        ],
        missing: [],
      };
    });
  },
};
