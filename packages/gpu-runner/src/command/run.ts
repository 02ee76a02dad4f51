import { GpuError } from '../errors.js';
import { Client } from '../protocol/client.js';
import type { ModelRequest } from '../protocol/messages.js';
import { spawnWithModel, type OpenModel } from '../runner/inherited.js';
import { Supervisor } from '../runner/supervisor.js';
import { HostDevice } from '../device/host-device.js';
import { Registry } from '../registry/registry.js';
import { ModelService } from '../service/model-service.js';
import { requestFlags, type ModelFlags } from './client-commands.js';
import { openStoreOf, parsePlace } from './place.js';
import { untilAsked } from './signals.js';

export interface RunFlags extends ModelFlags {
  store?: string;
  processes: number;
  restart: 'always' | 'on-failure' | 'never';
  grace: number;
}

/** Runs a command with a model until it ends or is asked to; its exit code, of several the first that is not 0; 130 or 143 when it was asked. */
export async function runCommand(place: string, words: string[], flags: RunFlags): Promise<number> {
  const [command = '', ...args] = words;
  const { model, end } = await obtain(parsePlace(place, requestFlags(flags)), flags);
  try {
    return await supervise(model, command, args, flags);
  } finally {
    await end();
  }
}

async function supervise(model: OpenModel, command: string, args: string[], flags: RunFlags): Promise<number> {
  const supervisors = Array.from(
    { length: flags.processes },
    (_, i) =>
      new Supervisor({
        name: flags.processes === 1 ? command : `${command}-${i}`,
        restart: flags.restart,
        start: async () => spawnWithModel(model, command, args),
      }),
  );
  const ended = Promise.all(supervisors.map(({ done }) => done));
  const asked = await Promise.race([ended.then(() => undefined), untilAsked()]);
  await Promise.all(supervisors.map((supervisor) => supervisor.stop({ graceMs: flags.grace * 1000 })));
  if (asked !== undefined) return asked === 'SIGINT' ? 130 : 143;
  for (const { code, error } of await ended) {
    if (error !== undefined)
      throw new GpuError('CAIRN_GPU_PROCESS_FAILED', `cannot run '${command}': ${(error as Error).message}`, { hint: 'check the command' });
    if (code !== 0) return code ?? 1;
  }
  return 0;
}

/** From the daemon, which shares it with everybody; loaded here when none listens and nobody named one. */
async function obtain(request: ModelRequest, { socket, store: dir }: RunFlags): Promise<{ model: OpenModel; end: () => Promise<void> }> {
  try {
    const client = await Client.connect(socket);
    return { model: await client.load(request), end: async () => client.close() };
  } catch (error) {
    if (socket !== undefined || !(error instanceof GpuError) || error.code !== 'CAIRN_GPU_NO_DAEMON') throw error;
  }
  const store = await openStoreOf(dir);
  const device = new HostDevice();
  const registry = new Registry({ device });
  const end = async (): Promise<void> => {
    await registry.close();
    await device.close();
    await store.close();
  };
  try {
    return { model: await new ModelService({ store, registry, device: device.id }).load(request), end };
  } catch (error) {
    await end();
    throw error;
  }
}
