import fs from 'node:fs';
import { connect, type Socket } from 'node:net';
import { PROTOCOL_VERSION, type Manifest } from './manifest.js';
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

/** A model with the descriptors that its regions came with, which are the caller's to close. */
export interface ReceivedModel {
  manifest: Manifest;
  descriptors: number[];
}

/**
 * Gets a model over a connection of its own, on which descriptors arrive: Node would drop them, so it is not let near. The connection
 * ends here, and its lease: the caller has another one, which so can be the only one.
 */
export async function receiveDescriptors(socketPath: string, model: ModelRequest): Promise<ReceivedModel> {
  const socket = await new Promise<Socket>((resolve, reject) => {
    const opening = connect(socketPath).once('error', reject);
    opening.pause();
    opening.once('connect', () => resolve(opening));
  });
  socket.on('error', () => undefined);
  stopReading(socket);
  const descriptors: number[] = [];
  try {
    socket.write(JSON.stringify({ cairn: PROTOCOL_VERSION, id: 1, op: 'load', descriptors: true, model }) + '\n');
    for await (const message of messages(socket, descriptors)) {
      if (message['error'] !== undefined) throw fromWire(message['error'] as WireError);
      if (message['id'] === 1) return { manifest: (message as unknown as Answers['load']).manifest, descriptors };
    }
    throw protocolError('the end of the connection');
  } catch (error) {
    for (const descriptor of descriptors) fs.closeSync(descriptor);
    throw error;
  } finally {
    socket.destroy();
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
