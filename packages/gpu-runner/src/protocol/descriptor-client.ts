import fs from 'node:fs';
import { connect, type Socket } from 'node:net';
import { PROTOCOL_VERSION } from './manifest.js';
import {
  fromWire,
  LineReader,
  MAX_LINE_BYTES,
  parseObject,
  protocolError,
  type Answers,
  type ModelRequest,
  type WireError,
} from './messages.js';
import { receive, stopReading } from './unix-socket.js';

const READ_BYTES = 1 << 16;

/** A model with the descriptors that its regions came with. Closing it closes them and ends the lease. Idempotent. */
export interface ReceivedModel {
  answer: Answers['load'];
  descriptors: readonly number[];
  close(): void;
}

/**
 * Loads a model over a connection of its own, on which descriptors arrive: Node would drop them, so it is not let near. The lease lasts
 * as long as the connection.
 */
export async function loadWithDescriptors(socketPath: string, model: ModelRequest): Promise<ReceivedModel> {
  const socket = await new Promise<Socket>((resolve, reject) => {
    const opening = connect(socketPath).once('error', reject);
    opening.pause();
    opening.once('connect', () => resolve(opening));
  });
  socket.on('error', () => undefined);
  stopReading(socket);
  const descriptors: number[] = [];
  const close = (): void => {
    for (const descriptor of descriptors.splice(0)) fs.closeSync(descriptor);
    socket.destroy();
  };
  try {
    socket.write(JSON.stringify({ cairn: PROTOCOL_VERSION, id: 1, op: 'load', descriptors: true, model }) + '\n');
    for await (const message of messages(socket, descriptors)) {
      if (message['error'] !== undefined) throw fromWire(message['error'] as WireError);
      if (message['id'] === 1) return { answer: message as unknown as Answers['load'], descriptors, close };
    }
    throw protocolError('the end of the connection');
  } catch (error) {
    close();
    throw error;
  }
}

async function* messages(socket: Socket, descriptors: number[]): AsyncGenerator<Record<string, unknown>> {
  const lines = new LineReader(MAX_LINE_BYTES);
  for (;;) {
    const received = await receive(socket, READ_BYTES);
    descriptors.push(...received.descriptors);
    if (received.bytes.length === 0) return;
    for (const line of lines.push(received.bytes)) yield parseObject(line);
  }
}
