import { Worker } from 'node:worker_threads';
import { ClosedError, deserializeError, workerFailure } from '../errors.js';
import type { Digest } from '../hash/digest.js';
import type { SealedPack } from '../pack/footer.js';
import type { StagedObject } from '../objects/staging.js';
import type {
  ChangeChecks,
  ChangeOutcome,
  CommitOutcome,
  CommitRequest,
  PublishCall,
  PublishCalls,
  PublishConfig,
  PublishMessage,
  PublishReply,
  PublishThreadData,
  VolumeChange,
} from './messages.js';
import { TransactionGate } from '../index/transaction-gate.js';
import { bundleObjects } from './object-bundle.js';

interface Waiting {
  resolve(output: PublishCalls[PublishCall]['output']): void;
  reject(error: unknown): void;
}

/** What the engine's lease says: see `OwnLease`. */
export interface EngineClaims {
  readonly id: string;
  readonly pendingEpoch: number | null;
}

/** A running thread and the calls that it has not answered. */
interface Thread {
  readonly worker: Worker;
  readonly waiting: Map<number, Waiting>;
  readonly ended: Promise<void>;
}

/**
 * The way to everything that writes the index or refs: one thread per engine, started by the first call, which answers one
 * call after another. It keeps the process alive only while a call is waiting. When it dies every waiting call rejects with a
 * WorkerDiedError, and the next call starts another.
 */
export class Publisher {
  /** Id of the engine's lease, which its unfinished packs belong to. */
  readonly lease: string;
  private readonly claims: EngineClaims;
  private readonly config: PublishConfig;
  private thread: Thread | undefined;
  private closing: Promise<void> | undefined;
  private nextId = 1;

  constructor(config: PublishConfig, claims: EngineClaims) {
    this.config = config;
    this.claims = claims;
    this.lease = claims.id;
  }

  /** Applies the change that a dead process, or a failed call, may have left in the journal: from then on the index tells whether it counts. */
  catchUp(): Promise<void> {
    return this.call('catchUp', undefined);
  }

  /** Puts sealed packs into the index: from then on others deduplicate against them. @throws StoreFullError */
  async publish(packs: SealedPack[]): Promise<void> {
    if (packs.length > 0) await this.call('publish', packs);
  }

  /**
   * Stores objects ahead of the commit that will refer to them; the bytes are copied. Returns the size of the pack.
   *
   * @param options with `mayLack`, in a damaged store, what they need need not be there.
   * @throws StoreFullError, DamageError
   */
  writeObjects(objects: Iterable<StagedObject>, options: { mayLack?: boolean } = {}): Promise<{ storedBytes: number }> {
    const bundle = bundleObjects(objects);
    return this.call('writeObjects', { objects: bundle, pendingEpoch: this.claims.pendingEpoch, ...options }, [bundle.buffer]);
  }

  /** Keeps trees, by their manifest roots, that something durable other than a commit refers to. @throws DamageError */
  retain(roots: Digest[]): Promise<void> {
    return this.call('retain', { roots, pendingEpoch: this.claims.pendingEpoch });
  }

  /**
   * Changes names, tags or histories.
   * @throws VolumeNotFoundError, VolumeExistsError, SnapshotNotFoundError, AlreadyExistsError (`CAIRN_TAG_EXISTS`)
   */
  change(change: VolumeChange, checks: ChangeChecks = {}): Promise<ChangeOutcome> {
    return this.call('change', { change, checks });
  }

  /** Publishes a tree as a volume's new head. When it resolves the snapshot is durable. @throws VolumeNotFoundError, StoreFullError */
  commit({ objects, ...request }: CommitRequest): Promise<CommitOutcome> {
    const bundle = bundleObjects(objects);
    const order = { ...request, pendingEpoch: this.claims.pendingEpoch };
    return this.call('commit', { order, objects: bundle }, [bundle.buffer]);
  }

  /** The steps of a collection; see collect.ts. */
  prepareCollection(): Promise<void> {
    return this.call('prepareCollection', undefined);
  }

  claimCollection(input: PublishCalls['claimCollection']['input']): Promise<boolean> {
    return this.call('claimCollection', input);
  }

  releaseCollection(): Promise<void> {
    return this.call('releaseCollection', undefined);
  }

  retire(input: PublishCalls['retire']['input']): Promise<boolean> {
    return this.call('retire', input);
  }

  moveCopies(input: PublishCalls['moveCopies']['input']): Promise<boolean> {
    return this.call('moveCopies', input);
  }

  condemn(input: PublishCalls['condemn']['input']): Promise<PublishCalls['condemn']['output']> {
    return this.call('condemn', input);
  }

  doom(input: PublishCalls['doom']['input']): Promise<number> {
    return this.call('doom', input);
  }

  sweep(limit: number): Promise<PublishCalls['sweep']['output']> {
    return this.call('sweep', limit);
  }

  /** Waits for the calls before it and ends the thread. Idempotent. */
  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    const { thread } = this;
    if (thread === undefined) return;
    await this.send(thread, 'close', undefined);
    // Answered, so that it counts as idle; its end is still to be waited for.
    thread.worker.ref();
    await thread.ended;
  }

  private call<C extends PublishCall>(
    call: C,
    input: PublishCalls[C]['input'],
    transfer: ArrayBuffer[] = [],
  ): Promise<PublishCalls[C]['output']> {
    if (this.closing !== undefined) return Promise.reject(new ClosedError('store'));
    this.thread ??= this.start();
    return this.send(this.thread, call, input, transfer);
  }

  private async send<C extends PublishCall>(
    thread: Thread,
    call: C,
    input: PublishCalls[C]['input'],
    transfer: ArrayBuffer[] = [],
  ): Promise<PublishCalls[C]['output']> {
    const message: PublishMessage<C> = { id: this.nextId++, call, input };
    thread.worker.ref();
    try {
      return await new Promise<PublishCalls[C]['output']>((resolve, reject) => {
        thread.waiting.set(message.id, { resolve: resolve, reject });
        thread.worker.postMessage(message, transfer);
      });
    } finally {
      thread.waiting.delete(message.id);
      if (thread.waiting.size === 0) thread.worker.unref();
    }
  }

  private start(): Thread {
    const gate = new TransactionGate();
    const data: PublishThreadData = { config: this.config, lease: this.lease, gate: gate.memory };
    // Flags of the main thread, such as --input-type, need not be fit for a file.
    const worker = new Worker(new URL('./publish-thread.js', import.meta.url), { name: 'cairn-publish', workerData: data, execArgv: [] });
    const waiting: Thread['waiting'] = new Map();
    shutAtExit(gate);
    const fail = (cause?: unknown): void => {
      if (this.thread?.worker === worker) this.thread = undefined;
      for (const call of waiting.values()) call.reject(workerFailure(cause));
    };
    worker.on('message', (reply: PublishReply) => {
      if ('error' in reply) waiting.get(reply.id)?.reject(deserializeError(reply.error));
      else waiting.get(reply.id)?.resolve(reply.output);
    });
    worker.on('error', fail);
    worker.on('messageerror', fail);
    const ended = new Promise<void>((resolve) => {
      worker.on('exit', () => {
        GATES.delete(gate);
        fail();
        resolve();
      });
    });
    return { worker, waiting, ended };
  }
}

/** Gates of all running threads of this process; one listener, however many stores are open. */
const GATES = new Set<TransactionGate>();
let listening = false;

/** `process.exit` waits until the thread is out of its transaction: that takes as long as a commit, and else the process would hang. */
function shutAtExit(gate: TransactionGate): void {
  GATES.add(gate);
  if (listening) return;
  listening = true;
  process.on('exit', () => {
    for (const open of GATES) open.shut();
  });
}
