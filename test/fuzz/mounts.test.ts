import fs from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe } from 'vitest';
import { createHasher } from '../../packages/core/src/hash/blake3.js';
import { digestToHex } from '../../packages/core/src/hash/digest.js';
import { openDisk } from '../../packages/core/src/disk/open-disk.js';
import { ControlServer } from '../../packages/core/src/mount/control-server.js';
import { readFolderId } from '../../packages/core/src/mount/folder-id.js';
import { livingOwner } from '../../packages/core/src/mount/owner.js';
import { FolderPlaces, isMountId } from '../../packages/core/src/mount/places.js';
import { parseReply, parseRequest, unpackResult } from '../../packages/core/src/mount/protocol.js';
import { decodeState, encodeState, type MountState } from '../../packages/core/src/mount/state.js';
import { deserializeError, isCairnError, NotFoundError, StoreFormatError } from '../../packages/core/src/errors.js';
import { thisProcess } from '../../packages/core/src/publish/process-identity.js';
import { normalizePath } from '../../packages/core/src/volume/paths.js';
import { ID, STATE } from '../support/mount-state.js';
import { fuzz } from './fuzz.js';

const hasher = createHasher('auto');
const { target: _target, pending: _pending, ...SETTLED } = STATE;
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const tokens = [
  '"__proto__":{"id":1},',
  '"constructor":',
  '{',
  '}',
  '[',
  ']',
  ',',
  'null',
  'true',
  '"\\u0000"',
  '"../.."',
  '\n',
  '\\',
  '[[[[[[[[',
].map((text) => Buffer.from(text));

const dir = fs.mkdtempSync(join(tmpdir(), 'cairn-fuzz-'));
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }));
const places = new FolderPlaces(join(dir, 'folder'));
fs.mkdirSync(places.reserved, { recursive: true });

describe('what mounts leave', () => {
  fuzz({
    name: 'state of a mount',
    share: 50,
    samples: [
      { ...STATE, ignore: ['*.log', '!keep'] },
      { ...SETTLED, seen: null, subPath: '', ignore: [] },
    ].map((state) => encodeState(state, hasher)),
    tokens,
    reseal(bytes) {
      const end = bytes.lastIndexOf('\nblake3 ') + 1;
      const text = bytes.subarray(0, end);
      return Buffer.concat([text, Buffer.from(`blake3 ${digestToHex(hasher.digest(text))}\n`)]);
    },
    check(bytes) {
      const state = decodeState(bytes, ID, hasher);
      if (normalizePath(state.subPath) !== state.subPath) throw new Error('a path that leads elsewhere');
      const again = decodeState(encodeState(state, hasher), ID, hasher);
      const told = (one: MountState): string => JSON.stringify(one, (_key, value: unknown) => value);
      if (told(again) !== told(state)) throw new Error(`read again as ${told(again)}`);
    },
    memory: { perByte: 16, fixed: 8000 },
  });

  fuzz({
    name: 'id of a mounted folder',
    share: 4,
    samples: [json({ cairnMount: 1, id: ID, store: '/store' })],
    tokens,
    check(bytes) {
      fs.writeFileSync(places.idFile, bytes);
      const found = readFolderId(places);
      if (found === undefined) throw new NotFoundError('ENOENT', 'no id', { hint: '-' });
      if (!isMountId(found.id) || typeof found.store !== 'string') throw new Error('an id that is none');
    },
    memory: { perByte: 64, fixed: 64_000 },
  });

  fuzz({
    name: 'owner of a mount',
    share: 4,
    samples: [json(thisProcess()), json({ ...thisProcess(), pid: 1, startTime: 1 }), json({ ...thisProcess(), bootId: 'another' })],
    tokens,
    check(bytes, dice) {
      const path = join(dir, 'owner-00112233445566ff');
      fs.writeFileSync(path, bytes);
      const owner = livingOwner(undefined, dir);
      if (owner === undefined && dice !== undefined) throw new NotFoundError('ENOENT', 'no owner', { hint: '-' });
      if (owner !== undefined && !Number.isSafeInteger(owner.pid)) throw new Error('an owner that is no process');
    },
    memory: { perByte: 64, fixed: 64_000 },
  });
});

const REQUESTS = [
  { cairn: 1, call: 'status', options: {} },
  { cairn: 1, call: 'commit', options: { message: 'ü', metadata: { a: 1, b: 'x', c: true }, onConflict: 'fail' } },
  { cairn: 1, call: 'reload', options: { onConflict: 'keep-local' } },
].map(json);

const INFO = { id: 'ab', volume: 'v', generation: 1, parent: null, createdAt: new Date(0), message: '', metadata: {}, newBytes: 0 };
const REPLIES = [
  { progress: { phase: 'storing', bytes: 1, files: 2, newBytes: 3 } },
  { error: { name: 'ConflictError', message: 'm', cairn: { code: 'CAIRN_CONFLICT', hint: 'h', fields: { paths: ['a'] } } } },
  { error: { name: 'Error', message: 'm', errno: 'EIO' } },
  { result: { snapshot: INFO, changed: true, added: 1, modified: 0, removed: 0, overwritten: [], busy: [], skipped: [], bytes: {} } },
  { result: { updated: 1, conflicts: [], busy: [], from: null, to: INFO } },
  { result: { base: null, head: INFO, behind: 0, added: [], modified: [], removed: [], lastError: { name: 'E', message: 'm' } } },
].map(json);

describe('what processes say over the socket of a mount', () => {
  fuzz({
    name: 'request to the owner of a mount',
    share: 60,
    samples: REQUESTS,
    tokens,
    check(bytes) {
      const request = parseRequest(bytes.toString('utf8'));
      parseRequest(JSON.stringify(request));
      if (!['commit', 'reload', 'status'].includes(request.call)) throw new Error('a call that is none');
    },
    memory: { perByte: 8, fixed: 8000 },
  });

  fuzz({
    name: 'reply of the owner of a mount',
    share: 60,
    samples: REPLIES,
    tokens: [...tokens, Buffer.from('"name":"__proto__"'), Buffer.from('"name":"constructor"')],
    check(bytes) {
      const reply = parseReply(bytes.toString('utf8'));
      if ('error' in reply) {
        if (!(deserializeError(reply.error) instanceof Error)) throw new Error('an error that is none');
      } else if ('result' in reply) {
        for (const call of ['commit', 'reload', 'status'] as const) {
          try {
            unpackResult(call, reply.result);
          } catch (error) {
            if (!(error instanceof StoreFormatError)) throw error;
          }
        }
      }
    },
    memory: { perByte: 16, fixed: 8000 },
  });

  let server: ControlServer;
  const asked: unknown[] = [];
  beforeAll(async () => {
    const answer = async (options: unknown): Promise<never> => {
      asked.push(options);
      return { answered: true } as never;
    };
    server = await ControlServer.listen(await openDisk({ durable: false }), dir, { commit: answer, reload: answer, status: answer });
  });
  afterAll(() => server.close());

  fuzz({
    name: 'socket of a mount',
    share: 5,
    samples: REQUESTS.map((request) => Buffer.concat([request, Buffer.from('\n')])),
    tokens: [...tokens, Buffer.alloc(300_000, 'x')],
    async check(bytes) {
      // Whoever sends no line at all is not answered, and goes away.
      if (!bytes.includes(0x0a) && bytes.length <= 1 << 20) throw new NotFoundError('ENOENT', 'no line', { hint: '-' });
      const text = await new Promise<string>((resolve, reject) => {
        let heard = '';
        const socket = net.connect(join(dir, 'socket'));
        socket.setEncoding('utf8').on('data', (part: string) => (heard += part));
        socket.on('error', reject).on('close', () => resolve(heard));
        socket.write(bytes);
      });
      const reply = parseReply(text.trimEnd());
      if ('error' in reply) {
        const error = deserializeError(reply.error);
        if (!isCairnError(error)) throw new Error('the owner failed', { cause: error });
        throw error;
      }
    },
    memory: { perByte: 64, fixed: 1 << 20 },
  });
});
