import { constants as bufferLimits } from 'node:buffer';
import { Readable } from 'node:stream';
import type { ContentRef } from '../content/content.js';
import { contentId } from '../content/content.js';
import { chunksOf } from '../content/content.js';
import { CairnError, ClosedError, FileNotFoundError, InvalidArgumentError, PathError } from '../errors.js';
import { digestToHex } from '../hash/digest.js';
import { ObjectKind } from '../hash/object-kind.js';
import type { Entry } from '../manifest/entry.js';
import type { NodeSource } from '../objects/node-store.js';
import type { Grip } from '../publish/own-lease.js';
import type { ChunkInfo, FileEntry, ReadRequest, ReadView, TensorInfo, Work } from '../types.js';
import { copyToLocal } from './copy-to-local.js';
import type { Engine } from './engine.js';
import { normalizePath } from './paths.js';
import { readTensors } from './tensors.js';

/** A file tree at one moment. Immutable: later edits make another one. */
export interface TreeView {
  get(path: string): Entry | undefined;
  list(folder: string): Iterable<[string, Entry]>;
  walk(folder: string): Iterable<[string, Entry]>;
}

/** A tree with the objects that it refers to, whether they are in packs or only staged. */
export interface Sight {
  tree: TreeView;
  nodes: NodeSource;
}

/** Entries between two turns of the event loop while a large folder is listed. */
const ENTRIES_PER_TURN = 2048;
/** The largest file that `readFile` gives as one buffer, or as one string. */
const MAX_BUFFER = bufferLimits.MAX_LENGTH;
const MAX_TEXT = bufferLimits.MAX_STRING_LENGTH;

/** Everything that reads: the one implementation behind volumes and snapshots. */
export abstract class View implements ReadView {
  /** For the other half of the engine: views of one store can copy from each other without data. */
  readonly engine: Engine;
  private closed = false;

  protected get isClosed(): boolean {
    return this.closed;
  }

  constructor(engine: Engine) {
    this.engine = engine;
  }

  /** What this view shows now; later changes to the view do not change what was returned. */
  abstract sight(): Promise<Sight>;
  protected abstract readonly what: 'volume' | 'snapshot';
  /** What this view keeps from being collected, kept for another user. */
  protected abstract held(user: object): Grip[];

  async listdir(path: string, options?: { recursive?: boolean }): Promise<FileEntry[]> {
    const entries: FileEntry[] = [];
    for await (const entry of this.iterdir(path, options)) entries.push(entry);
    return entries;
  }

  async *iterdir(path: string, options: { recursive?: boolean } = {}): AsyncGenerator<FileEntry> {
    const folder = normalizePath(path);
    const { tree } = await this.look();
    requireFolder(tree, folder);
    let count = 0;
    for (const [child, entry] of this.whileOpen(options.recursive === true ? tree.walk(folder) : tree.list(folder))) {
      yield toFileEntry(child, entry);
      if (++count % ENTRIES_PER_TURN === 0) await new Promise(setImmediate);
    }
  }

  async stat(path: string): Promise<FileEntry> {
    const normal = normalizePath(path);
    const { tree } = await this.look();
    if (normal === '') return { path: '', type: 'directory', size: 0, mtimeMs: 0, executable: false };
    return toFileEntry(normal, requireEntry(tree, normal));
  }

  async exists(path: string): Promise<boolean> {
    const normal = normalizePath(path);
    const { tree } = await this.look();
    return normal === '' || tree.get(normal) !== undefined;
  }

  readFile(path: string, options?: Work): Promise<Uint8Array>;
  readFile(path: string, encoding: 'utf8'): Promise<string>;
  readFile(path: string, options: Work | 'utf8' = {}): Promise<Uint8Array | string> {
    return this.engine.run(async () => {
      const { content, nodes, normal } = await this.file(path);
      const limit = options === 'utf8' ? MAX_TEXT : MAX_BUFFER;
      if (content.length > limit) {
        throw new CairnError(
          'CAIRN_FILE_TOO_LARGE',
          `'${normal}' has ${content.length} bytes, more than one ${options === 'utf8' ? 'string' : 'buffer'} can hold`,
          {
            hint: 'use createReadStream(), readInto() with positions, or copyToLocal()',
          },
        );
      }
      const target = new Uint8Array(content.length);
      await this.engine.data.readInto([{ content, position: 0, target }], {
        ...(options === 'utf8' ? {} : options),
        nodes,
        verify: this.engine.verifyReads,
      });
      return options === 'utf8' ? Buffer.from(target.buffer).toString('utf8') : target;
    });
  }

  readInto(requests: ReadRequest | ReadRequest[], options: Work & { verify?: boolean } = {}): Promise<number> {
    return this.engine.run(async () => {
      const { tree, nodes } = await this.look();
      const resolved = (Array.isArray(requests) ? requests : [requests]).map(({ path, position = 0, target }) => {
        if (!Number.isSafeInteger(position) || position < 0)
          throw new InvalidArgumentError(`no such position: ${position}`, 'give a whole number of bytes, 0 or more');
        return { content: requireFile(tree, normalizePath(path)), position, target };
      });
      return this.engine.data.readInto(resolved, { ...options, nodes, verify: options.verify ?? this.engine.verifyReads });
    });
  }

  createReadStream(path: string, options: { start?: number; end?: number; signal?: AbortSignal } = {}): Readable {
    const { start = 0, end = Infinity, signal } = options;
    if (!isOffset(start) || !(end === Infinity || isOffset(end + 1)) || end < start - 1)
      throw new InvalidArgumentError(`no such range: ${start} to ${end}`, '`start` and the inclusive `end` count bytes from 0');
    const grip = this.lasting();
    const opened = this.file(path);
    opened.catch(() => undefined); // Reported by the stream when it is read.
    const { engine } = this;
    async function* bytes(): AsyncGenerator<Uint8Array> {
      const { content, nodes } = await opened;
      const pieces = engine.data.stream(content, Math.min(start, content.length), Math.min(end + 1, content.length), {
        nodes,
        signal,
        verify: engine.verifyReads,
      });
      try {
        for (let next; (next = await engine.run(() => pieces.next())).done !== true;) yield next.value;
      } finally {
        await pieces.return(undefined);
      }
    }
    const stream = Readable.from(bytes(), { objectMode: false, ...(signal ? { signal } : {}) });
    return stream.once('close', () => grip.release());
  }

  copyToLocal(path: string, localPath: string, options: Work & { force?: boolean } = {}): Promise<void> {
    return this.engine.run(async () => copyToLocal(this.engine, await this.look(), normalizePath(path), localPath, options));
  }

  tensors(path: string): Promise<TensorInfo[]> {
    return this.engine.run(async () => readTensors(this.engine, await this.look(), normalizePath(path)));
  }

  async *chunks(path: string): AsyncGenerator<ChunkInfo> {
    const { content, nodes } = await this.file(path);
    for (const { offset, length, digest } of this.whileOpen(chunksOf(nodes, content))) {
      const location = this.engine.index.locate(ObjectKind.chunk, digest);
      const kept =
        location === undefined
          ? { encoding: 'staged' as const, storedLength: 0 }
          : { encoding: encodingName(location.encoding), storedLength: location.storedLength };
      yield { offset, length, digest: digestToHex(digest), ...kept };
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @throws ClosedError: of this view, or of its store. */
  protected assertOpen(): void {
    if (this.closed) throw new ClosedError(this.what);
    this.engine.assertOpen();
  }

  /** What is read bit by bit, at its consumer's pace, which may close the store in between. */
  protected *whileOpen<T>(items: Iterable<T>): Generator<T> {
    for (const item of items) {
      yield item;
      this.assertOpen();
    }
  }

  /** Keeps what is seen now from being collected, for what goes on when this view is closed. */
  protected lasting(): Grip {
    const grips = [this.engine.lease.reading()];
    const all: Grip = { release: () => grips.forEach((grip) => grip.release()) };
    try {
      grips.push(...this.held(all));
    } catch (error) {
      all.release();
      throw error;
    }
    return all;
  }

  private look(): Promise<Sight> {
    this.assertOpen();
    return this.sight();
  }

  private async file(path: string): Promise<{ content: ContentRef; nodes: NodeSource; normal: string }> {
    const normal = normalizePath(path);
    const { tree, nodes } = await this.look();
    return { content: requireFile(tree, normal), nodes, normal };
  }
}

/** @throws FileNotFoundError; `ENOTDIR` where a file stands in the way. */
export function requireEntry(tree: TreeView, path: string): Entry {
  const entry = tree.get(path);
  if (entry === undefined) throw new FileNotFoundError(path);
  return entry;
}

export function requireFile(tree: TreeView, path: string): ContentRef {
  if (path === '') throw new PathError('EISDIR', '/', 'a folder is no file', 'name a file in it');
  const entry = requireEntry(tree, path);
  if (entry.type === 'directory')
    throw new PathError('EISDIR', path, 'a folder is no file', 'name a file in it, or use listdir() and copyToLocal()');
  if (entry.type === 'symlink')
    throw new PathError('EINVAL', path, `a symlink to '${entry.target}' is not followed`, 'stat() tells its target: read that');
  return entry.content;
}

function requireFolder(tree: TreeView, path: string): void {
  if (path === '') return;
  if (requireEntry(tree, path).type !== 'directory')
    throw new PathError('ENOTDIR', path, 'not a folder', 'use stat() on it, or list the folder above');
}

export function toFileEntry(path: string, entry: Entry): FileEntry {
  const common = { path, size: 0, mtimeMs: Number(entry.mtimeNs / 1_000_000n), executable: false };
  if (entry.type === 'directory') return { ...common, type: 'directory' };
  if (entry.type === 'symlink') return { ...common, type: 'symlink', symlinkTarget: entry.target };
  return { ...common, type: 'file', size: entry.content.length, executable: entry.executable, contentId: contentId(entry.content) };
}

const ENCODINGS = ['raw', 'zstd', 'planes', 'delta'] as const;

function encodingName(code: number): (typeof ENCODINGS)[number] {
  const name = ENCODINGS[code];
  if (name === undefined)
    throw new CairnError('CAIRN_STORE_FORMAT', `unknown encoding ${code}`, { hint: 'a newer Cairn wrote this: update this one' });
  return name;
}

function isOffset(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
