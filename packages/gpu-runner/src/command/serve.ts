import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { InvalidArgumentError } from '@cairn/core';
import { startDaemon, type RunningDaemon } from '../service/start-daemon.js';
import { openStoreOf, parsePlace } from './place.js';
import { untilAsked } from './signals.js';

export interface ServeFlags {
  store?: string;
  socket?: string;
  device?: string;
  budget?: number;
  metricsPort?: number;
  preload?: string[];
}

/** Serves until asked to end. Says in lines on stdout what is there. */
export async function serve({ store: dir, socket, device, budget, metricsPort, preload = [] }: ServeFlags): Promise<void> {
  await using store = await openStoreOf(dir);
  await using daemon = await startDaemon({
    store,
    ...(socket === undefined ? {} : { socketPath: socket }),
    ...(device === undefined ? {} : { device }),
    ...(budget === undefined ? {} : { budgetBytes: budget }),
    logger: { warn: (message: string) => process.stderr.write(`cairn-gpu: ${message}\n`) },
  });
  const asked = untilAsked();
  using _http = metricsPort === undefined ? undefined : await serveMetrics(daemon, metricsPort);
  process.stdout.write(`serving on ${daemon.socketPath}\n`);
  for (const place of preload) {
    // Released at once: it stays until its memory is needed.
    using model = await daemon.service.load(parsePlace(place));
    process.stdout.write(`loaded ${place} (${model.lease.plan.totalBytes} bytes in ${Math.round(model.lease.metrics.elapsedMs)} ms)\n`);
  }
  await asked;
}

/** @throws InvalidArgumentError when the port cannot be had */
async function serveMetrics(daemon: RunningDaemon, port: number): Promise<Disposable> {
  const server = createServer((request, response) => {
    if (request.url !== '/metrics') return void response.writeHead(404).end();
    response.writeHead(200, { 'Content-Type': 'text/plain; version=0.0.4' }).end(daemon.metrics());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', ({ message }) =>
      reject(new InvalidArgumentError(`cannot serve metrics: ${message}`, 'choose another --metrics-port; 0 takes one that is free')),
    );
    server.listen(port, '127.0.0.1', resolve);
  });
  process.stdout.write(`metrics on http://127.0.0.1:${(server.address() as AddressInfo).port}/metrics\n`);
  return {
    [Symbol.dispose]: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
