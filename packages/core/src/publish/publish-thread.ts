import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { serializeError } from '../errors.js';
import { TransactionGate } from '../index/transaction-gate.js';
import { changeRefs } from './change-refs.js';
import { changeVolume } from './change-volume.js';
import { prepareCollection } from './clear-up.js';
import { claimCollection, condemn, moveCopies, releaseCollection, retire } from './collect.js';
import { commit } from './commit.js';
import type { PublishCall, PublishCalls, PublishMessage, PublishReply, PublishThreadData } from './messages.js';
import { unbundleObjects } from './object-bundle.js';
import { closeParts, openParts, type PublishParts } from './parts.js';
import { doom, sweep } from './reclaim.js';
import { startUp } from './start-up.js';
import { publishPacks, retainTrees, storeObjects } from './store-objects.js';

/*
 * The one thread of a process that writes the index. It answers one call after another, and ends by itself after `close`:
 * nobody may terminate it, since it may hold the lock that all processes share.
 */
type Input<C extends PublishCall> = PublishCalls[C]['input'];
type Output<C extends PublishCall> = PublishCalls[C]['output'];

const HANDLERS: { [C in PublishCall]: (parts: PublishParts, input: Input<C>) => Output<C> } = {
  catchUp: (parts) => changeRefs(parts, () => undefined),
  publish: publishPacks,
  writeObjects: (parts, { objects, ...need }) => storeObjects(parts, unbundleObjects(objects, parts.hasher), need),
  retain: (parts, { roots, pendingEpoch }) => retainTrees(parts, roots, pendingEpoch),
  change: (parts, { change, checks }) => changeVolume(parts, change, checks),
  commit: (parts, { order, objects }) => commit(parts, order, unbundleObjects(objects, parts.hasher)),
  prepareCollection,
  claimCollection,
  releaseCollection,
  retire,
  moveCopies,
  condemn,
  doom,
  sweep,
  close: () => undefined,
};

/** Opened by the first call; a failure is that call's error, and the next call tries again. */
class PublishThread {
  private readonly port: MessagePort;
  private readonly data: PublishThreadData;
  private parts: PublishParts | undefined;
  private last: Promise<void> = Promise.resolve();

  constructor(port: MessagePort, data: PublishThreadData) {
    this.port = port;
    this.data = data;
    port.on('message', (message: PublishMessage) => {
      this.last = this.last.then(() => this.answer(message));
    });
  }

  private async answer<C extends PublishCall>({ id, call, input }: PublishMessage<C>): Promise<void> {
    let reply: PublishReply;
    try {
      // Where nothing was opened there is nothing to close.
      if (call !== 'close') this.parts ??= await this.open();
      reply = { id, output: this.parts === undefined ? undefined : HANDLERS[call](this.parts, input) };
    } catch (error) {
      reply = { id, error: serializeError(error) };
    }
    if (call === 'close') await this.closeIndex();
    this.port.postMessage(reply);
    if (call === 'close') this.port.close();
  }

  private async open(): Promise<PublishParts> {
    const parts = await openParts(this.data.config, this.data.lease, new TransactionGate(this.data.gate));
    try {
      startUp(parts);
    } catch (error) {
      await closeParts(parts);
      throw error;
    }
    return parts;
  }

  private async closeIndex(): Promise<void> {
    if (this.parts !== undefined) await closeParts(this.parts);
  }
}

new PublishThread(parentPort!, workerData as PublishThreadData);
