import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { connect } from 'node:net';

/*
 * Prints the SHA-256 of every tensor (or, without tensors, of every file) of a model that a Cairn daemon serves.
 * Nothing but Node: `Client` of @cairn/gpu-runner does the same in two lines. Node cannot receive descriptors, so the regions are
 * opened by the paths of the manifest, which lead through /proc to the daemon's descriptors.
 *
 *     node consumer.js SOCKET VOLUME PATH
 */

interface Manifest {
  regions: { size: number; path: string }[];
  files: { path: string; region?: number; size: number }[];
  tensors: { name: string; dtype: string; shape: number[]; region: number; offset: number; size: number }[];
}

const [socketPath = '', volume = '', path = ''] = process.argv.slice(2);
const socket = connect(socketPath);
const lines = createInterface({ input: socket })[Symbol.asyncIterator]();

async function receive(): Promise<Record<string, unknown>> {
  const line = await lines.next();
  if (line.done === true) throw new Error('the daemon hung up');
  const message = JSON.parse(line.value) as Record<string, unknown>;
  if (message['error'] !== undefined) throw new Error((message['error'] as { message: string }).message);
  return message;
}

/** A part of a region. Engines would open the same path, or map it. */
async function digest(file: string, start: number, size: number): Promise<string> {
  const hash = createHash('sha256');
  if (size > 0) for await (const chunk of createReadStream(file, { start, end: start + size - 1 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

const greeting = await receive();
if (greeting['cairn'] !== 1) throw new Error('the daemon speaks another version of the protocol');
socket.write(JSON.stringify({ cairn: 1, id: 1, op: 'load', model: { volume, path } }) + '\n');
const { regions, files, tensors } = (await receive())['manifest'] as Manifest;
for (const { name, dtype, shape, region, offset, size } of tensors)
  console.log(await digest(regions[region]!.path, offset, size), name, dtype, JSON.stringify(shape));
if (tensors.length === 0)
  for (const { path: name, region, size } of files)
    if (region !== undefined) console.log(await digest(regions[region]!.path, 0, size), name);
// The lease ends with the connection: until here the paths were good.
socket.end();
