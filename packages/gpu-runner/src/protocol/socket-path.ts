import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** Where the daemon of this user listens unless told otherwise: `CAIRN_GPU_SOCKET`, else a folder that only this user can enter. */
export function defaultSocketPath(): string {
  const given = process.env['CAIRN_GPU_SOCKET'];
  if (given !== undefined && given !== '') return given;
  const runtime = process.env['XDG_RUNTIME_DIR'];
  return path.join(runtime ?? path.join(os.tmpdir(), `cairn-gpu-${process.getuid?.() ?? 0}`), 'cairn-gpu.sock');
}

/** Makes the folder of a socket, for this user alone. @throws the system's error when the folder is another user's */
export function makeSocketFolder(socketPath: string): void {
  const folder = path.dirname(socketPath);
  fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
}
