import net from 'node:net';
import { CairnError, deserializeError, InvalidArgumentError, MountOwnedError } from '../errors.js';
import type {
  CommitOptions,
  MountCloseOptions,
  MountCommitResult,
  MountControl,
  MountReloadOptions,
  MountReloadResult,
  MountStatus,
  Work,
} from '../types.js';
import { type Call, type Calls, parseReply, PROTOCOL_VERSION, type Reply, type Request, unpackResult } from './protocol.js';
import { shortSocketPath } from './socket-path.js';

/** What a socket says whose other side is not there, or not any more. */
const GONE = ['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE'];

/** A connection to the owner of a mount; undefined when nobody answers. */
export async function connectOwner(stateDir: string): Promise<net.Socket | undefined> {
  try {
    const { path, release } = shortSocketPath(stateDir);
    try {
      const socket = net.connect(path);
      await new Promise<void>((resolve, reject) => socket.once('error', reject).once('connect', resolve));
      return socket;
    } finally {
      release();
    }
  } catch (error) {
    if (GONE.includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}

/** A mount that another process owns, and works on for us. */
export class RemoteMount implements MountControl {
  readonly dir: string;
  private readonly stateDir: string;
  private readonly ownerPid: number;

  constructor(dir: string, stateDir: string, ownerPid: number) {
    this.dir = dir;
    this.stateDir = stateDir;
    this.ownerPid = ownerPid;
  }

  status(options: Work = {}): Promise<MountStatus> {
    return this.call('status', {}, options);
  }

  commit({ message, metadata, onConflict, ...work }: CommitOptions = {}): Promise<MountCommitResult> {
    if (typeof onConflict === 'function') {
      const hint = "say 'last-write-wins' or 'fail', or commit in the process that mounted the folder";
      return Promise.reject(new InvalidArgumentError('a function cannot be asked from another process', hint));
    }
    const options = {
      ...(message === undefined ? {} : { message }),
      ...(metadata === undefined ? {} : { metadata }),
      ...(onConflict === undefined ? {} : { onConflict }),
    };
    return this.call('commit', options, work);
  }

  reload({ onConflict, ...work }: MountReloadOptions = {}): Promise<MountReloadResult> {
    return this.call('reload', onConflict === undefined ? {} : { onConflict }, work);
  }

  async close(options: MountCloseOptions = {}): Promise<void> {
    if (options.unmount === true || options.removeFiles === true) throw new MountOwnedError(this.dir, this.ownerPid);
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private async call<C extends Call>(call: C, options: Calls[C]['options'], { signal, onProgress }: Work): Promise<Calls[C]['result']> {
    signal?.throwIfAborted();
    const socket = await connectOwner(this.stateDir);
    if (socket === undefined) throw ended(this.dir);
    const abort = (): void => void socket.destroy();
    signal?.addEventListener('abort', abort, { once: true });
    try {
      const request: Request<C> = { cairn: PROTOCOL_VERSION, call, options };
      socket.setEncoding('utf8').write(`${JSON.stringify(request)}\n`);
      for await (const reply of replies(socket)) {
        if ('progress' in reply) onProgress?.(reply.progress);
        else if ('error' in reply) throw deserializeError(reply.error);
        else return unpackResult(call, reply.result);
      }
      signal?.throwIfAborted();
      throw ended(this.dir);
    } catch (error) {
      signal?.throwIfAborted();
      throw GONE.includes((error as NodeJS.ErrnoException).code ?? '') ? ended(this.dir) : error;
    } finally {
      signal?.removeEventListener('abort', abort);
      socket.destroy();
    }
  }
}

async function* replies(socket: net.Socket): AsyncGenerator<Reply> {
  let parts: string[] = [];
  for await (const part of socket as AsyncIterable<string>) {
    const lines = part.split('\n');
    parts.push(lines[0]!);
    for (const next of lines.slice(1)) {
      yield parseReply(parts.join(''));
      parts = [next];
    }
  }
}

function ended(dir: string): CairnError {
  return new CairnError('CAIRN_CLOSED', `the process that owned the mount '${dir}' has ended`, {
    hint: 'what it was asked for may be done or not: look with status, and ask again',
  });
}
