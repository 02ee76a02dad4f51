import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { isCairnError, NotFoundError, InvalidError, type FileEntry, type Snapshot, type Store } from '@cairn/core';
import parseRange from 'range-parser';

/**
 * Serves the volumes of a store over HTTP.
 *
 *     GET /                       the models: name, newest version, files, size
 *     GET /llama/                 what is in a folder of the newest version
 *     GET /llama/model.gguf       the newest version of a file
 *     GET /llama@release/…        a pinned version: a tag, an id or its prefix, HEAD~1, a date
 *
 * A file's ETag is its content id, so a client downloads again only what changed, whatever it was called by; ranges are
 * served from the very chunks that they touch. What another process commits is served with the next request.
 */
export function createRegistry(store: Store): Server {
  return createServer((request, response) => {
    answer(store, request, response).catch((error: unknown) => fail(response, error));
  });
}

async function answer(store: Store, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD')
    return sendJson(response, 405, { error: 'only GET and HEAD' }, { Allow: 'GET, HEAD' });
  const { model, ref, path } = parseTarget(request.url ?? '/');
  if (model === '') return sendJson(response, 200, await store.volumes.list());
  // Opened for each request, which takes less than a millisecond: names may be given to other volumes at any time.
  await using volume = await store.volumes.fromName(model, { readOnly: true });
  // Pinned while it is read: whatever is committed meanwhile, one answer never mixes two versions.
  await using snapshot = await volume.snapshot(ref);
  const entry = path === '' ? undefined : await snapshot.stat(path);
  if (entry?.type === 'file') return await sendFile(request, response, snapshot, entry);
  const children = await snapshot.listdir(path);
  sendJson(response, 200, { version: snapshot.info, files: children });
}

async function sendFile(request: IncomingMessage, response: ServerResponse, snapshot: Snapshot, entry: FileEntry): Promise<void> {
  const etag = `"${entry.contentId}"`;
  response.setHeader('ETag', etag);
  response.setHeader('Accept-Ranges', 'bytes');
  response.setHeader('Cache-Control', 'no-cache'); // kept, but asked about: the ETag makes that cheap
  response.setHeader('X-Cairn-Version', snapshot.info.id);
  if (matches(request.headers['if-none-match'], etag)) return void response.writeHead(304).end();

  const unchanged = request.headers['if-range'] === undefined || request.headers['if-range'] === etag;
  const ranges = request.headers.range !== undefined && unchanged ? parseRange(entry.size, request.headers.range, { combine: true }) : -2;
  if (ranges === -1) return void response.writeHead(416, { 'Content-Range': `bytes */${entry.size}` }).end();
  // Several ranges in one answer would have to be multipart: the whole file is an answer, too.
  const range = typeof ranges === 'object' && ranges.type === 'bytes' && ranges.length === 1 ? ranges[0] : undefined;
  const { start, end } = range ?? { start: 0, end: entry.size - 1 };
  response.writeHead(range === undefined ? 200 : 206, {
    'Content-Type': 'application/octet-stream',
    'Content-Length': end - start + 1,
    ...(range === undefined ? {} : { 'Content-Range': `bytes ${start}-${end}/${entry.size}` }),
  });
  if (request.method === 'HEAD' || end < start) return void response.end();
  await pipeline(snapshot.createReadStream(entry.path, { start, end }), response);
}

function matches(header: string | undefined, etag: string): boolean {
  return header !== undefined && header.split(',').some((one) => [etag, `W/${etag}`, '*'].includes(one.trim()));
}

/** `/llama@release/some/path` as its parts. */
function parseTarget(url: string): { model: string; ref: string; path: string } {
  const [place = '', ...rest] = new URL(url, 'http://localhost').pathname.slice(1).split('/').map(decodeURIComponent);
  const at = place.indexOf('@');
  return {
    model: at < 0 ? place : place.slice(0, at),
    ref: at < 0 ? 'HEAD' : place.slice(at + 1),
    path: rest.filter((part) => part !== '').join('/'),
  };
}

function sendJson(response: ServerResponse, status: number, value: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(JSON.stringify(value));
}

/** Errors of Cairn come with a code and a next step, which are the client's to know. */
function fail(response: ServerResponse, error: unknown): void {
  // Half an answer is out: all that is left is not to let it pass for a whole one. Often it is the client who hung up.
  if (response.headersSent) return void response.destroy();
  const status = error instanceof NotFoundError ? 404 : error instanceof InvalidError || error instanceof URIError ? 400 : 500;
  sendJson(response, status, isCairnError(error) ? { error: error.message, code: error.code, hint: error.hint } : { error: String(error) });
}
