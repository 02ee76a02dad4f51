import fs from 'node:fs';
import { createServer, connect, type Server, type Socket } from 'node:net';
import { InvalidArgumentError } from '@cairn/core';
import type { Device } from '../device/device.js';
import { GpuError } from '../errors.js';
import type { ModelService } from '../service/model-service.js';
import { Connection } from './connection.js';
import { toWire } from './messages.js';
import { checkSocketPath, makeSocketFolder } from './socket-path.js';
import { peerOf } from './unix-socket.js';

export interface DaemonOptions {
  service: ModelService;
  device: Device;
  socketPath: string;
  /** Text that the operation `metrics` answers. */
  metrics: () => string;
  /** How often watched models are looked at. Default 1000. */
  watchMs?: number;
  /** Hears what clients do wrong. */
  logger?: Pick<Console, 'warn'>;
}

/** Serves models over a Unix socket to processes of the same user. A lease ends with the connection that took it, however that ends. */
export class Daemon implements AsyncDisposable {
  private readonly options: DaemonOptions;
  private readonly server: Server;
  private readonly connections = new Map<Socket, Connection>();

  private constructor(options: DaemonOptions) {
    this.options = options;
    this.server = createServer((socket) => this.accept(socket));
  }

  /** @throws GpuError when a daemon listens there already; InvalidArgumentError when nobody can listen there */
  static async listen(options: DaemonOptions): Promise<Daemon> {
    const daemon = new Daemon(options);
    checkSocketPath(options.socketPath);
    makeSocketFolder(options.socketPath);
    await removeStale(options.socketPath);
    await new Promise<void>((resolve, reject) => {
      const fail = ({ message }: Error): void =>
        reject(new InvalidArgumentError(`cannot listen on '${options.socketPath}': ${message}`, 'choose another socket with --socket'));
      daemon.server.once('error', fail);
      daemon.server.listen(options.socketPath, () => {
        daemon.server.off('error', fail);
        resolve();
      });
    });
    fs.chmodSync(options.socketPath, 0o600);
    return daemon;
  }

  /** Consumers that are connected. */
  get connectionCount(): number {
    return this.connections.size;
  }

  /** Hangs up on everybody, and waits for requests under way. Idempotent. */
  async close(): Promise<void> {
    for (const socket of this.connections.keys()) socket.destroy();
    await Promise.all([...this.connections.values()].map((connection) => connection.ended));
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private accept(socket: Socket): void {
    socket.on('error', () => socket.destroy());
    try {
      const { uid } = peerOf(socket);
      if (uid !== process.getuid?.()) throw refused(uid);
    } catch (error) {
      this.options.logger?.warn(error instanceof Error ? error.message : String(error));
      socket.end(JSON.stringify({ error: toWire(error) }) + '\n', () => socket.destroy());
      return;
    }
    const connection = new Connection(socket, this.options);
    this.connections.set(socket, connection);
    void connection.ended.then(() => this.connections.delete(socket));
  }
}

function refused(uid: number): GpuError {
  return new GpuError('CAIRN_GPU_REFUSED', `this daemon serves user ${process.getuid?.()} only, not user ${uid}`, {
    hint: 'run a daemon of your own',
  });
}

/** A daemon that was killed leaves its socket's name behind. Anything else of that name is not ours to remove. */
async function removeStale(socketPath: string): Promise<void> {
  const found = fs.lstatSync(socketPath, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket())
    throw new InvalidArgumentError(`cannot listen on '${socketPath}': something else is there`, 'choose another socket with --socket');
  const answers = await new Promise<boolean>((resolve) => {
    const probe = connect(socketPath, () => resolve(true)).on('error', () => resolve(false));
    probe.once('close', () => probe.destroy());
    probe.once('connect', () => probe.destroy());
  });
  if (answers)
    throw new GpuError('CAIRN_GPU_REFUSED', `a daemon listens on '${socketPath}' already`, {
      hint: 'use it, or choose another socket with --socket',
    });
  fs.rmSync(socketPath, { force: true });
}
