import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { InvalidArgumentError } from '@cairn/core';
import { GpuError } from '../errors.js';

/**
 * Where the daemon of this user listens unless told otherwise: `CAIRN_GPU_SOCKET`, else a folder that only this user can enter.
 * @throws GpuError `CAIRN_GPU_REFUSED` when somebody else made that folder, or can write to it
 */
export function defaultSocketPath(): string {
  const given = process.env['CAIRN_GPU_SOCKET'];
  if (given !== undefined && given !== '') return given;
  const runtime = process.env['XDG_RUNTIME_DIR'];
  if (runtime !== undefined && runtime !== '') return path.join(runtime, 'cairn-gpu.sock');
  const folder = path.join(os.tmpdir(), `cairn-gpu-${process.getuid?.() ?? 0}`);
  checkOwn(folder);
  return path.join(folder, 'cairn-gpu.sock');
}

/** Longer paths are cut, silently, by some versions of Node: the end of sun_path. */
const MAX_SOCKET_PATH_BYTES = 107;

/** @throws InvalidArgumentError when a path is too long for a socket */
export function checkSocketPath(socketPath: string): void {
  if (Buffer.byteLength(socketPath) > MAX_SOCKET_PATH_BYTES)
    throw new InvalidArgumentError(
      `'${socketPath}' is too long for a socket: it has more than ${MAX_SOCKET_PATH_BYTES} bytes`,
      'choose another socket with --socket',
    );
}

/** Makes the folder of a socket, for this user alone. @throws InvalidArgumentError when it cannot be made */
export function makeSocketFolder(socketPath: string): void {
  const folder = path.dirname(socketPath);
  try {
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new InvalidArgumentError(
      `cannot make the folder of the socket: ${(error as Error).message}`,
      'choose another socket with --socket',
    );
  }
}

/** In the temporary folder anybody can take a name first: whoever owns the folder decides which daemon answers there. */
function checkOwn(folder: string): void {
  const found = fs.lstatSync(folder, { throwIfNoEntry: false });
  if (found === undefined || (found.isDirectory() && found.uid === process.getuid?.() && (found.mode & 0o022) === 0)) return;
  throw new GpuError('CAIRN_GPU_REFUSED', `others can write to '${folder}', or it is theirs`, {
    hint: 'remove it, set XDG_RUNTIME_DIR, or choose a socket with --socket or CAIRN_GPU_SOCKET',
  });
}
