import fs from 'node:fs';
import type { Socket } from 'node:net';
import type { Region } from '../device/device.js';
import type { LoadPlan } from '../plan/load-plan.js';
import type { ServedModel } from '../service/model-service.js';
import { adoptRegions } from './adopt.js';
import type { GpuError } from '../errors.js';
import { manifestText, PROTOCOL_VERSION } from './manifest.js';
import {
  LineReader,
  parseRequest,
  protocolError,
  toWire,
  type Answers,
  type Greeting,
  type ModelRequest,
  type NewVersion,
  type Request,
} from './messages.js';
import type { DaemonOptions } from './server.js';
import { receive, resumeReading, sendWithDescriptors, stopReading, written } from './unix-socket.js';

const DEFAULT_WATCH_MS = 1000;
/** Of one consumer: requests under way and answers that it has not read, and leases. */
const MAX_UNANSWERED = 1000;
const MAX_LEASES = 10_000;

interface HeldLease {
  model: ServedModel;
  /** Snapshot and key that were told last; undefined when nobody asked to be told. */
  known: { key: string; snapshot: string } | undefined;
  isUpdating: boolean;
}

/** One consumer: its requests, and the leases that end with it. */
export class Connection {
  /** Resolves when the consumer is gone and everything of it is released. Never rejects. */
  readonly ended: Promise<void>;
  private readonly socket: Socket;
  private readonly options: DaemonOptions;
  private readonly gone = new AbortController();
  private readonly leases = new Map<number, HeldLease>();
  private readonly running = new Set<Promise<void>>();
  private nextLease = 1;
  private sending: Promise<void> = Promise.resolve();
  private receiving: Promise<unknown> = Promise.resolve();
  private watch: NodeJS.Timeout | undefined;
  private looking = false;
  /** Messages that the system has not taken yet. */
  private unsent = 0;
  /** Whether nothing more is heard. */
  private isDeaf = false;

  constructor(socket: Socket, options: DaemonOptions) {
    this.socket = socket;
    this.options = options;
    const lines = new LineReader();
    const greeting: Greeting = { cairn: PROTOCOL_VERSION, pid: process.pid, device: options.device.info() };
    this.send(greeting);
    socket.on('data', (chunk) => {
      if (this.isDeaf) return;
      try {
        for (const line of lines.push(chunk)) if (!this.isDeaf) this.hear(line);
      } catch (error) {
        this.hangUp(error);
      }
    });
    this.ended = new Promise<void>((resolve) => socket.once('close', resolve)).then(() => this.end());
  }

  private hear(line: string): void {
    const request = parseRequest(line);
    if (this.running.size + this.unsent >= MAX_UNANSWERED)
      return this.drop(protocolError(`more than ${MAX_UNANSWERED} requests without reading the answers`));
    const task = this.answer(request)
      .catch((error: unknown) => this.send({ id: request.id, error: toWire(error) }))
      .finally(() => this.running.delete(task));
    this.running.add(task);
  }

  private async answer(request: Request): Promise<void> {
    const { id, op } = request;
    const { service, device, metrics } = this.options;
    switch (op) {
      case 'load':
        return this.load(request.id, modelOf(request), request.descriptors === true, request.watch === true);
      case 'plan':
        return this.send({ id, manifest: await service.plan(modelOf(request)) } satisfies Answers['plan'] & { id: number });
      case 'fill':
        return this.fill(request.id, modelOf(request), request.key);
      case 'update':
        return this.update(request.id, request.lease);
      case 'release': {
        this.leases.get(request.lease)?.model.release();
        this.leases.delete(request.lease);
        return this.send({ id });
      }
      case 'list':
        return this.send({ id, device: device.info(), models: service.registry.list() } satisfies Answers['list'] & { id: number });
      case 'metrics':
        return this.send({ id, text: metrics() });
      default:
        throw protocolError(`the unknown operation ${JSON.stringify(op)}`);
    }
  }

  private async load(id: number, request: ModelRequest, descriptors: boolean, watch: boolean): Promise<void> {
    if (this.leases.size >= MAX_LEASES) throw protocolError(`a load while it holds ${MAX_LEASES} leases`);
    const start = performance.now();
    const model = await this.options.service.load(request, { signal: this.gone.signal });
    if (this.gone.signal.aborted) return model.release();
    const lease = this.nextLease++;
    const { manifest } = model;
    this.leases.set(lease, { model, known: watch ? { key: manifest.key, snapshot: manifest.snapshot } : undefined, isUpdating: false });
    const answer: Omit<Answers['load'], 'manifest'> = { lease, shared: model.lease.shared, elapsedMs: performance.now() - start };
    const text = `${JSON.stringify({ id, ...answer }).slice(0, -1)},"manifest":${manifestText(manifest)}}`;
    this.sendLine(text, descriptors ? model.descriptors : []);
    if (watch) this.watch ??= setInterval(() => this.startLooking(), this.options.watchMs ?? DEFAULT_WATCH_MS);
  }

  private async update(id: number, lease: number): Promise<void> {
    const held = this.leases.get(lease);
    if (held === undefined) throw protocolError(`the lease ${JSON.stringify(lease)}, which it does not hold`);
    if (held.isUpdating) throw protocolError(`an update of the lease ${lease}, of which one is under way`);
    const start = performance.now();
    const old = held.model;
    held.isUpdating = true;
    try {
      const model = await this.options.service.update(old, { signal: this.gone.signal });
      if (this.leases.get(lease) !== held) {
        model.release();
        throw protocolError(`a release of the lease ${lease} while it was updated`);
      }
      held.model = model;
    } catch (error) {
      if (!old.lease.held && this.leases.get(lease) === held) this.leases.delete(lease);
      throw error;
    } finally {
      held.isUpdating = false;
    }
    const { manifest } = held.model;
    if (held.known !== undefined) held.known = { key: manifest.key, snapshot: manifest.snapshot };
    const changed = held.model.lease !== old.lease;
    this.send({ id, changed, elapsedMs: performance.now() - start, manifest } satisfies Answers['update'] & { id: number });
  }

  /** Asks for memory of the consumer, fills it, and lets it go. */
  private async fill(id: number, model: ModelRequest, key: string): Promise<void> {
    const start = performance.now();
    const { signal } = this.gone;
    const obtain = async (plan: LoadPlan): Promise<Region[]> => {
      if (plan.key !== key) throw protocolError('the `key` of another plan: there is a newer version, or the request differs');
      return adoptRegions(this.options.device, plan.regionBytes, (count) => this.receiveDescriptors(id, count));
    };
    const manifest = await this.options.service.fill(model, obtain, { signal });
    this.send({ id, filled: true, elapsedMs: performance.now() - start, manifest } satisfies Answers['fill'] & { id: number });
  }

  /** One at a time, since what comes belongs to who asked; the socket is not read by Node meanwhile, which would drop them. */
  private receiveDescriptors(id: number, count: number): Promise<number[]> {
    const turn = this.receiving.then(async () => {
      stopReading(this.socket);
      try {
        this.send({ id, send: count } satisfies Answers['fill'] & { id: number });
        await this.sending;
        const { bytes, descriptors } = await receive(this.socket, 1, this.gone.signal);
        if (bytes.length === 0) this.socket.destroy();
        if (descriptors.length === count) return descriptors;
        for (const descriptor of descriptors) fs.closeSync(descriptor);
        throw protocolError(`${descriptors.length} descriptors where ${count} were to come`);
      } finally {
        resumeReading(this.socket);
      }
    });
    this.receiving = turn.catch(() => undefined);
    return turn;
  }

  private startLooking(): void {
    if (this.looking) return;
    this.looking = true;
    const task = this.lookAtAll().finally(() => {
      this.looking = false;
      this.running.delete(task);
    });
    this.running.add(task);
  }

  /** Tells about newer versions of what is watched, each once. */
  private async lookAtAll(): Promise<void> {
    for (const [lease, held] of this.leases) {
      if (held.known === undefined) continue;
      // A model that is gone for now has no newer version.
      const now = await this.options.service.look(held.model.request).catch(() => undefined);
      if (now === undefined || now.key === held.known.key || !this.leases.has(lease)) continue;
      held.known = now;
      this.send({ event: 'newVersion', lease, snapshot: now.snapshot } satisfies NewVersion);
    }
  }

  private send(message: object): void {
    this.sendLine(JSON.stringify(message));
  }

  private sendLine(text: string, descriptors: readonly number[] = []): void {
    const line = Buffer.from(text + '\n');
    this.unsent++;
    this.sending = this.sending
      .then(() =>
        this.socket.destroyed
          ? undefined
          : descriptors.length > 0
            ? sendWithDescriptors(this.socket, line, descriptors)
            : written(this.socket, line),
      )
      .catch(() => void this.socket.destroy())
      .finally(() => this.unsent--);
  }

  private hangUp(error: unknown): void {
    this.isDeaf = true;
    this.options.logger?.warn(error instanceof Error ? error.message : String(error));
    this.send({ error: toWire(error) });
    void this.sending.then(() => this.socket.destroySoon());
  }

  /** Without a word: who does not read what was said before would not read this either. */
  private drop(error: GpuError): void {
    this.isDeaf = true;
    this.options.logger?.warn(error.message);
    this.socket.destroy();
  }

  private async end(): Promise<void> {
    clearInterval(this.watch);
    this.gone.abort(new Error('the consumer is gone'));
    while (this.running.size > 0) await Promise.all(this.running);
    for (const { model } of this.leases.values()) model.release();
    this.leases.clear();
  }
}

/** The rest of it is checked where it is planned. */
function modelOf({ op, model }: { op: string; model: ModelRequest }): ModelRequest {
  if (typeof model !== 'object' || model === null || typeof model.volume !== 'string') throw protocolError(`a ${op} without a volume`);
  if (model.ref !== undefined && typeof model.ref !== 'string') throw protocolError(`a ${op} whose \`ref\` is no string`);
  return model;
}
