import type { Store } from '@cairn/core';
import { HostDevice } from '../device/host-device.js';
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
  /** The most memory that models take together. Default: half of the machine's. */
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

/** Serves the models of a store from host memory to other processes of this user. @throws GpuError when a daemon listens there already */
export async function startDaemon(options: ServeOptions): Promise<RunningDaemon> {
  const { store, budgetBytes, socketPath = defaultSocketPath(), watchMs, logger } = options;
  const device = new HostDevice(budgetBytes === undefined ? {} : { capacityBytes: budgetBytes });
  const registry = new Registry({ device });
  const service = new ModelService({ store, registry, device: device.id });
  const metrics = (): string => metricsText(registryMetrics(registry, device));
  const daemon = await Daemon.listen({
    service,
    device,
    socketPath,
    metrics,
    ...(watchMs === undefined ? {} : { watchMs }),
    ...(logger === undefined ? {} : { logger }),
  });
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> =>
    (closing ??= (async () => {
      await daemon.close();
      await registry.close();
      await device.close();
    })());
  return { socketPath, service, metrics, close, [Symbol.asyncDispose]: close };
}
