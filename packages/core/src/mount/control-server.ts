import net from 'node:net';
import { join } from 'node:path';
import type { Disk } from '../disk/disk.js';
import { removeFile } from '../disk/trees.js';
import { InvalidArgumentError, serializeError } from '../errors.js';
import type { MountControl, Work } from '../types.js';
import { type Call, type Calls, MAX_REQUEST_BYTES, packResult, parseRequest, type Reply } from './protocol.js';
import { shortSocketPath } from './socket-path.js';

type Owner = Pick<MountControl, Call>;

/** Lets other processes work through the one that owns a mount. Keeps the process alive only while a call is under way. */
export class ControlServer {
  private readonly server: net.Server;
  private readonly release: () => void;
  private readonly underWay = new Set<Promise<void>>();
  private readonly connections = new Set<net.Socket>();

  static async listen(disk: Disk, stateDir: string, owner: Owner): Promise<ControlServer> {
    removeFile(disk, join(stateDir, 'socket'));
    const { path, release } = shortSocketPath(stateDir);
    const server = net.createServer({ allowHalfOpen: false });
    const control = new ControlServer(server, release, owner);
    try {
      await new Promise<void>((resolve, reject) => server.once('error', reject).listen(path, resolve));
    } catch (error) {
      release();
      throw error;
    }
    server.unref();
    return control;
  }

  private constructor(server: net.Server, release: () => void, owner: Owner) {
    this.server = server;
    this.release = release;
    server.on('connection', (socket) => this.accept(socket, owner));
  }

  /** Answers the calls that are under way, takes no more. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    while (this.underWay.size > 0) await Promise.all(this.underWay);
    for (const socket of this.connections) socket.destroy();
    await closed;
    this.release();
  }

  private accept(socket: net.Socket, owner: Owner): void {
    socket.unref();
    this.connections.add(socket);
    const gone = new AbortController();
    // Whoever went away hears nothing, and needs nothing.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.connections.delete(socket);
      gone.abort(new InvalidArgumentError('the process that asked for this went away', 'ask again'));
    });
    let text = '';
    const hear = (part: string): void => {
      text += part;
      const end = text.indexOf('\n');
      if (end < 0 && text.length <= MAX_REQUEST_BYTES) return;
      socket.off('data', hear);
      const answer = this.answer(socket, end < 0 ? '' : text.slice(0, end), owner, gone.signal).finally(() => this.underWay.delete(answer));
      this.underWay.add(answer);
    };
    socket.setEncoding('utf8').on('data', hear);
  }

  private async answer(socket: net.Socket, line: string, owner: Owner, signal: AbortSignal): Promise<void> {
    socket.ref();
    const send = (reply: Reply): void => void (socket.writable && socket.write(`${JSON.stringify(reply)}\n`));
    try {
      const { call, options } = parseRequest(line);
      const result = await perform(owner, call, { ...options, signal, onProgress: (progress) => send({ progress }) });
      send({ result: packResult(call, result) });
    } catch (error) {
      send({ error: serializeError(error) });
    }
    await new Promise<void>((resolve) => (socket.destroyed ? resolve() : socket.end(resolve)));
  }
}

function perform(owner: Owner, call: Call, options: Calls[Call]['options'] & Work): Promise<Calls[Call]['result']> {
  switch (call) {
    case 'commit':
      return owner.commit(options as Calls['commit']['options'] & Work);
    case 'reload':
      return owner.reload(options as Calls['reload']['options'] & Work);
    case 'status':
      return owner.status(options);
  }
}
