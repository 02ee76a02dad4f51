import { EventEmitter } from 'node:events';
import fs from 'node:fs';
import { connect, type Socket } from 'node:net';
import type { DeviceInfo } from '../device/device.js';
import { GpuError } from '../errors.js';
import { receiveDescriptors } from './descriptor-client.js';
import { PROTOCOL_VERSION, type Manifest } from './manifest.js';
import {
  fromWire,
  LineReader,
  MAX_LINE_BYTES,
  parseObject,
  protocolError,
  type Answers,
  type Greeting,
  type ModelRequest,
  type NewVersion,
  type Request,
  type WireError,
} from './messages.js';
import { checkSocketPath, defaultSocketPath } from './socket-path.js';

type Body<Op extends Request['op']> = Omit<Extract<Request, { op: Op }>, 'id' | 'op'>;

interface Waiting {
  resolve: (answer: Record<string, unknown>) => void;
  reject: (error: unknown) => void;
}

/** A model that a daemon serves to this process. */
export interface RemoteModel extends Disposable {
  readonly lease: number;
  /** Whether it was loaded before. */
  readonly shared: boolean;
  readonly manifest: Manifest;
  /**
   * In host memory one for each region, open for reading until `release()`; `/proc/self/fd/N` opens them by path. In the memory of a GPU
   * those that `manifest.regions` count, to be imported by the CUDA driver.
   */
  readonly descriptors: readonly number[];
  /** Closes the descriptors and tells the daemon. What is mapped stays mapped. Idempotent. */
  release(): void;
}

/** A connection to a daemon. Closing it, or the end of this process, releases everything. */
export class Client extends EventEmitter<{ newVersion: [NewVersion]; close: [] }> implements Disposable {
  private readonly socket: Socket;
  private readonly socketPath: string;
  /** As the daemon greeted. */
  private device: DeviceInfo | undefined;
  private readonly waiting = new Map<number, Waiting>();
  private readonly models = new Set<RemoteModel>();
  private nextId = 1;
  /** Of a connection that has ended. */
  private failure: unknown;

  private constructor(socket: Socket, socketPath: string) {
    super();
    this.socket = socket;
    this.socketPath = socketPath;
    this.failure = noDaemon(`'${socketPath}': it hung up`);
  }

  /** @throws GpuError `CAIRN_GPU_NO_DAEMON`, `CAIRN_GPU_REFUSED`, `CAIRN_GPU_PROTOCOL`; InvalidArgumentError */
  static async connect(socketPath: string = defaultSocketPath()): Promise<Client> {
    checkSocketPath(socketPath);
    const socket = await new Promise<Socket>((resolve, reject) => {
      const opening = connect(socketPath, () => resolve(opening)).once('error', (error) =>
        reject(noDaemon(`'${socketPath}': ${error.message}`)),
      );
    });
    const client = new Client(socket, socketPath);
    await client.start();
    return client;
  }

  async load(model: ModelRequest, options: { watch?: boolean } = {}): Promise<RemoteModel> {
    const { lease, shared, manifest: named } = (await this.request('load', { model, ...options })) as unknown as Answers['load'];
    const descriptors: number[] = [];
    let held = true;
    const release = (): void => {
      if (!held) return;
      held = false;
      for (const descriptor of descriptors) fs.closeSync(descriptor);
      this.models.delete(remote);
      this.request('release', { lease }).catch(() => undefined);
    };
    const remote = { lease, shared, manifest: named, descriptors, release, [Symbol.dispose]: release };
    try {
      // Descriptors of GPU memory have to be received: no path opens them.
      if (this.device?.backing === 'cuda-vmm') {
        const received = await receiveDescriptors(this.socketPath, { ...model, ref: named.snapshot });
        remote.manifest = received.manifest;
        descriptors.push(...received.descriptors);
      }
      // Memory of a GPU that is shared by handles is in no file.
      for (const { path } of named.regions) if (path !== undefined) descriptors.push(fs.openSync(path, 'r'));
    } catch (error) {
      release();
      throw error;
    }
    this.models.add(remote);
    return remote;
  }

  /**
   * Has the daemon change a model into its newest version in the memory where it is, which this process has open. Resolves to the
   * manifest, which is the old one when there is nothing newer. For the only lease on the model.
   * @throws GpuError `CAIRN_GPU_NOT_IN_PLACE`: nothing has changed. After any other error the memory may be that of no version.
   */
  async update({ lease }: RemoteModel): Promise<Manifest> {
    return ((await this.request('update', { lease })) as unknown as Answers['update']).manifest;
  }

  async list(): Promise<Answers['list']> {
    return (await this.request('list', {})) as unknown as Answers['list'];
  }

  /** In the text format of Prometheus. */
  async metrics(): Promise<string> {
    return ((await this.request('metrics', {})) as unknown as Answers['metrics']).text;
  }

  close(): void {
    for (const model of [...this.models]) model.release();
    this.socket.end();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  private request<Op extends Request['op']>(op: Op, body: Body<Op>): Promise<Record<string, unknown>> {
    const id = this.nextId++;
    if (!this.socket.writable) return Promise.reject(this.failure);
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.socket.write(JSON.stringify({ cairn: PROTOCOL_VERSION, id, op, ...body }) + '\n');
    });
  }

  /** Resolves with the daemon's greeting. */
  private start(): Promise<void> {
    const lines = new LineReader(MAX_LINE_BYTES);
    return new Promise<void>((resolve, reject) => {
      let greeted = false;
      this.socket.on('data', (chunk) => {
        try {
          for (const line of lines.push(chunk)) {
            const message = parseObject(line);
            if (message['id'] === undefined && message['error'] !== undefined) throw fromWire(message['error'] as WireError);
            if (greeted) this.hear(message);
            else if ((message as unknown as Greeting).cairn !== PROTOCOL_VERSION) throw protocolError('another version of the protocol');
            else {
              greeted = true;
              this.device = (message as unknown as Greeting).device;
              resolve();
            }
          }
        } catch (error) {
          this.failure = error;
          this.socket.destroy();
        }
      });
      this.socket.on('error', () => undefined);
      this.socket.on('close', () => {
        reject(this.failure);
        for (const { reject: fail } of this.waiting.values()) fail(this.failure);
        this.waiting.clear();
        this.emit('close');
      });
    });
  }

  private hear(message: Record<string, unknown>): void {
    if (message['event'] === 'newVersion') return void this.emit('newVersion', message as unknown as NewVersion);
    const waiting = this.waiting.get(message['id'] as number);
    this.waiting.delete(message['id'] as number);
    if (message['error'] === undefined) waiting?.resolve(message);
    else waiting?.reject(fromWire(message['error'] as WireError));
  }
}

function noDaemon(what: string): GpuError {
  return new GpuError('CAIRN_GPU_NO_DAEMON', `no daemon at ${what}`, { hint: "start one with 'cairn-gpu serve'" });
}
