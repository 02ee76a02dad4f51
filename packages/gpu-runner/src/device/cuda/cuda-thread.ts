import { ClosedError } from '@cairn/core';
import { Worker } from 'node:worker_threads';
import { CudaError, deviceError, NoCudaDriverError, ReadBackError } from '../../errors.js';
import type { OpenedDevice, OperationName, Operations, ReplyMessage, ThreadError, ThreadOptions } from './messages.js';

interface Waiting {
  resolve: (result: unknown) => void;
  reject: (error: unknown) => void;
}

/** This side of a device's thread: requests go there in the order of the calls, and promises come back. */
export class CudaThread {
  /** Memory that could not be given back to the driver yet. */
  unreleasedBytes = 0;
  private readonly worker: Worker;
  private readonly name: string;
  private readonly waiting = new Map<number, Waiting>();
  private nextId = 1;
  private ended: { error: unknown } | undefined;

  private constructor(options: ThreadOptions) {
    this.name = `cuda:${options.ordinal}`;
    // Without Node's own options: those of a script on the command line are refused for threads.
    this.worker = new Worker(new URL('./thread-main.js', import.meta.url), { workerData: options, name: this.name, execArgv: [] });
  }

  /** @throws NoCudaDriverError, CudaError */
  static async start(options: ThreadOptions): Promise<{ thread: CudaThread; found: OpenedDevice }> {
    const thread = new CudaThread(options);
    return { thread, found: await thread.opened() };
  }

  /** @throws CudaError, ReadBackError; ClosedError when the device was closed */
  request<Name extends OperationName>(name: Name, parameters: Operations[Name]['parameters']): Promise<Operations[Name]['result']> {
    if (this.ended !== undefined) return Promise.reject(this.ended.error);
    const id = this.nextId++;
    // The thread keeps the process alive only while somebody waits for it.
    if (this.waiting.size === 0) this.worker.ref();
    return new Promise<unknown>((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, name, ...parameters });
    }) as Promise<Operations[Name]['result']>;
  }

  /** Gives everything back to the driver and ends the thread. @throws CudaError for what could not be given back */
  async close(): Promise<void> {
    const gone = new Promise<void>((resolve) => this.worker.once('exit', () => resolve()));
    try {
      const closed = this.request('close', {});
      this.ended = { error: new ClosedError(`device ${this.name}`) };
      await closed;
    } finally {
      await gone;
    }
  }

  private opened(): Promise<OpenedDevice> {
    return new Promise((resolve, reject) => {
      const end = (error: unknown): void => {
        this.ended ??= { error };
        reject(error);
        for (const { reject: fail } of this.waiting.values()) fail(error);
        this.waiting.clear();
      };
      this.worker.on('error', (error) => end(threadEnded(this.name, error.message)));
      this.worker.on('exit', () => end(threadEnded(this.name, 'unexpectedly')));
      this.worker.on('message', (message: ReplyMessage) => {
        if ('opened' in message) {
          this.worker.unref();
          resolve(message.opened);
        } else if ('openError' in message) end(asError(message.openError));
        else this.hear(message);
      });
    });
  }

  private hear(message: Extract<ReplyMessage, { id: number }>): void {
    const waiting = this.waiting.get(message.id);
    this.waiting.delete(message.id);
    // Not while it is closing: then it is waited for to the end.
    if (this.waiting.size === 0 && this.ended === undefined) this.worker.unref();
    this.unreleasedBytes = message.unreleasedBytes;
    if ('error' in message) waiting?.reject(asError(message.error));
    else waiting?.resolve(message.result);
  }
}

function threadEnded(name: string, how: string): Error {
  return deviceError(`the thread of ${name}`, how);
}

function asError(error: ThreadError): Error {
  switch (error.kind) {
    case 'cuda':
      return new CudaError(error.call, error.result, error.resultName);
    case 'noDriver':
      return new NoCudaDriverError(error.lookedFor);
    case 'readBack':
      return new ReadBackError(error.offset, error.bytes);
    case 'other':
      return new Error(error.message);
  }
}
