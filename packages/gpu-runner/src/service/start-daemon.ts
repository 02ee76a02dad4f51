import type { Store } from '@cairn/core';
import type { Device } from '../device/device.js';
import { openDevice } from '../device/open-device.js';
import { Daemon } from '../protocol/server.js';
import { defaultSocketPath } from '../protocol/socket-path.js';
import { Registry } from '../registry/registry.js';
import { metricsText, registryMetrics } from './metrics-text.js';
import { ModelService } from './model-service.js';

export interface ServeOptions {
  /** Stays the caller's to close, after the daemon. */
  store: Store;
  /** Default: `CAIRN_GPU_SOCKET`, else a socket in a folder of this user's own. */
  socketPath?: string;
  /** `host`, or a GPU as `cuda:0`; or a device that is open, and stays the caller's to close. Default `host`. */
  device?: string | Device;
  /** The most memory that models take together. Default: half of the machine's; of a GPU what is free when it is opened, less a sixteenth. */
  budgetBytes?: number;
  /** How often watched models are looked at. Default 1000. */
  watchMs?: number;
  logger?: Pick<Console, 'warn'>;
}

/** A daemon that runs in this process. */
export interface RunningDaemon extends AsyncDisposable {
  readonly socketPath: string;
  readonly service: ModelService;
  /** Prometheus text. */
  metrics(): string;
  /** Hangs up on consumers and frees the memory; those who have it open keep it. Idempotent. */
  close(): Promise<void>;
}

/**
 * Serves the models of a store from the memory of a device to other processes of this user.
 * @throws GpuError when a daemon listens there already; NoCudaDriverError, CudaError
 */
export async function startDaemon(options: ServeOptions): Promise<RunningDaemon> {
  const { store, budgetBytes, socketPath = defaultSocketPath(), watchMs, logger } = options;
  const wanted = options.device ?? 'host';
  const device = typeof wanted === 'string' ? await openDevice(wanted, budgetBytes) : wanted;
  const closeDevice = async (): Promise<void> => (device === wanted ? undefined : device.close());
  const registry = new Registry({ device, ...(budgetBytes === undefined ? {} : { budgetBytes }) });
  const service = new ModelService({ store, registry, device: device.id });
  const metrics = (): string => metricsText(registryMetrics(registry, device));
  const daemon = await Daemon.listen({
    service,
    device,
    socketPath,
    metrics,
    ...(watchMs === undefined ? {} : { watchMs }),
    ...(logger === undefined ? {} : { logger }),
  }).catch(async (error: unknown) => {
    await closeDevice();
    throw error;
  });
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> =>
    (closing ??= (async () => {
      await daemon.close();
      await registry.close();
      await closeDevice();
    })());
  return { socketPath, service, metrics, close, [Symbol.asyncDispose]: close };
}
