import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { GpuError } from '../errors.js';
import type { Manifest } from '../protocol/manifest.js';
import { fromWire, type ModelRequest } from '../protocol/messages.js';
import type { Parameters } from './define-model.js';
import { Supervisor, type SupervisorOptions } from './supervisor.js';
import { PARAMETERS_VARIABLE, type FromWorker, type ToWorker } from './worker-messages.js';

export interface WorkerOptions extends Omit<SupervisorOptions, 'start' | 'restart' | 'onExit' | 'ask'> {
  module: string;
  parameters: Parameters;
  /** Gives the weights that a process asks for. */
  weights: (model: ModelRequest) => Promise<{ version: number; manifest: Manifest }>;
  /** Hears that a version has been entered, or that a process or a version failed. */
  onReady: (worker: Worker) => void;
  /** Hears that it has become idle. */
  onIdle: (worker: Worker) => void;
  onFailure: (worker: Worker, error: GpuError) => void;
  /** A process that does not answer a ping this long is ended. Default 30 000. */
  healthTimeoutMs?: number;
  healthIntervalMs?: number;
}

interface Call {
  resolve: (value: unknown) => void;
  reject: (error: GpuError) => void;
}

const MAIN = fileURLToPath(new URL('./worker-main.js', import.meta.url));
const DEFAULT_HEALTH_INTERVAL_MS = 5000;
const DEFAULT_HEALTH_TIMEOUT_MS = 30_000;

/** One place for an inference process: its process, the next one when that ended, and the calls that it answers. */
export class Worker {
  readonly supervisor: Supervisor;
  /** Of the weights that the process has entered; undefined while it has none. */
  version: number | undefined;
  private readonly options: WorkerOptions;
  private readonly calls = new Map<number, Call>();
  private readonly health: NodeJS.Timeout;
  private nextId = 1;
  /** Versions that the process has asked for or was offered, and neither entered nor refused. */
  private entering = 0;
  private heardMs = performance.now();

  constructor(options: WorkerOptions) {
    this.options = options;
    const interval = options.healthIntervalMs ?? DEFAULT_HEALTH_INTERVAL_MS;
    this.supervisor = new Supervisor({
      ...options,
      restart: 'always',
      start: () => this.start(),
      ask: (child) => this.askToEnd(child),
      onExit: ({ code, signal }) => this.ended(code ?? signal),
    });
    this.health = setInterval(() => this.checkHealth(), interval);
  }

  get pid(): number | undefined {
    return this.supervisor.child?.pid;
  }

  /** Calls that were sent and not answered. */
  get load(): number {
    return this.calls.size;
  }

  /** Whether the process reads its weights now, as far as can be told from here. */
  get isBusy(): boolean {
    return this.calls.size > 0 || this.entering > 0;
  }

  /** @throws GpuError `CAIRN_GPU_PROCESS_FAILED` when the method throws, or the process ends before it has answered */
  call(method: string, args: unknown[]): Promise<unknown> {
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.calls.set(id, { resolve, reject });
      this.send({ type: 'call', id, method, args });
    });
  }

  /** Gives the process a newer version; `onReady` tells when it has entered it. */
  offer(weights: { version: number; manifest: Manifest; inPlace?: boolean }): void {
    this.entering++;
    this.send({ type: 'weights', ...weights });
  }

  /** Ends the process, whose weights are not what it takes them for; another one is started. */
  abandon(): void {
    this.version = undefined;
    this.supervisor.kill();
  }

  /** Lets calls that were sent end first, which also takes no longer than `graceMs`. */
  async stop(options?: { graceMs?: number }): Promise<void> {
    clearInterval(this.health);
    await this.supervisor.stop(options);
  }

  private async start(): Promise<ChildProcess> {
    const { module, parameters } = this.options;
    const child = fork(MAIN, [module], {
      execArgv: [],
      serialization: 'advanced',
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...process.env, [PARAMETERS_VARIABLE]: JSON.stringify(parameters) },
    });
    this.heardMs = performance.now();
    child.on('message', (message: FromWorker) => {
      this.heardMs = performance.now();
      this.hear(message);
    });
    return child;
  }

  /** In the order of the calls. One that has not entered does not listen yet, and has nothing to end. */
  private askToEnd(child: ChildProcess): void {
    if (this.version === undefined || !child.connected) child.kill('SIGTERM');
    else child.send({ type: 'stop' } satisfies ToWorker, () => undefined);
  }

  private hear(message: FromWorker): void {
    switch (message.type) {
      case 'want':
        return void this.giveWeights(message.model);
      case 'ready':
        this.entering--;
        this.version = message.version;
        return this.options.onReady(this);
      case 'failed':
        this.entering--;
        return this.fail(fromWire(message.error));
      case 'result':
        return this.settle(message.id, (call) => call.resolve(message.value));
      case 'error':
        return this.settle(message.id, (call) => call.reject(fromWire(message.error)));
      case 'pong':
        return;
    }
  }

  /** Entering begins here: the memory that is named may not change from now on. */
  private async giveWeights(model: ModelRequest): Promise<void> {
    const { child } = this.supervisor;
    this.entering++;
    try {
      const weights = await this.options.weights(model);
      if (this.supervisor.child === child) this.send({ type: 'weights', ...weights });
    } catch (error) {
      if (this.supervisor.child !== child) return;
      this.entering--;
      this.fail(error instanceof GpuError ? error : processFailed(error instanceof Error ? error.message : String(error), error));
    }
  }

  private settle(id: number, how: (call: Call) => void): void {
    const call = this.calls.get(id);
    this.calls.delete(id);
    if (call !== undefined) how(call);
    if (!this.isBusy) this.options.onIdle(this);
  }

  /** A process that has entered no version is of no use: it is started again. */
  private fail(error: GpuError): void {
    if (this.version === undefined) this.supervisor.kill();
    this.options.onFailure(this, error);
  }

  private ended(how: number | string | null): void {
    this.version = undefined;
    this.entering = 0;
    const error = processFailed(`process '${this.supervisor.name}' ended (${how ?? 'it did not start'})`);
    for (const { reject } of this.calls.values()) reject(error);
    this.calls.clear();
    this.options.onFailure(this, error);
  }

  private send(message: ToWorker): void {
    const child = this.supervisor.child;
    // Its end is heard by the supervisor, which then rejects what waits.
    if (child?.connected === true) child.send(message, () => undefined);
  }

  private checkHealth(): void {
    if (this.supervisor.child === undefined || this.version === undefined) return;
    if (performance.now() - this.heardMs > (this.options.healthTimeoutMs ?? DEFAULT_HEALTH_TIMEOUT_MS)) this.supervisor.kill();
    else this.send({ type: 'ping' });
  }
}

function processFailed(message: string, cause?: unknown): GpuError {
  return new GpuError('CAIRN_GPU_PROCESS_FAILED', message, { hint: 'its output says why; it is started again', cause });
}
