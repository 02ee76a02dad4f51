import type { WriteStream } from 'node:tty';
import { OutputClosed } from './errors.js';

/** Lines are handed to the system in pieces of about this many characters, so that a listing of a million paths stays quick. */
const PIECE_CHARS = 65536;

/** Standard output: buffered lines, JSON documents, raw bytes; keeps to the reader's pace, and notices when the reader has gone. */
export class Output {
  readonly isTerminal: boolean;
  private readonly stream: WriteStream;
  private pending = '';
  private readonly onFailure: (reason: Error) => void;
  private failure: Error | undefined;

  /** `onFailure` hears why nothing more can be written, such as `OutputClosed` or a full disk. */
  constructor(stream: WriteStream, onFailure: (reason: Error) => void) {
    this.stream = stream;
    this.onFailure = onFailure;
    this.isTerminal = stream.isTTY === true;
    stream.on('error', (error: NodeJS.ErrnoException) => this.fail(error));
  }

  async line(text: string): Promise<void> {
    this.pending += text + '\n';
    // A person sees each line as it comes.
    if (this.isTerminal || this.pending.length >= PIECE_CHARS) await this.flush();
  }

  /** One JSON document on one line: the whole answer of a command, or one record of a list (NDJSON). */
  async json(value: object): Promise<void> {
    await this.line(JSON.stringify(value));
  }

  async bytes(chunk: Uint8Array): Promise<void> {
    if (this.pending !== '') await this.flush();
    await this.write(chunk);
  }

  async flush(): Promise<void> {
    const text = this.pending;
    this.pending = '';
    // Also without text: what others wrote to the stream, such as help, has then arrived.
    await this.write(text);
  }

  /** Resolves when the system has taken the data, so a slow reader slows us down. */
  private async write(data: string | Uint8Array): Promise<void> {
    if (this.failure !== undefined) throw this.failure;
    await new Promise<void>((resolve, reject) => {
      this.stream.write(data, (error) => (error ? reject(this.fail(error)) : resolve()));
    });
  }

  private fail(error: NodeJS.ErrnoException): Error {
    if (this.failure === undefined) {
      this.failure = error.code === 'EPIPE' ? new OutputClosed() : error;
      this.onFailure(this.failure);
    }
    return this.failure;
  }
}
