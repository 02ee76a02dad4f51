import { openStore, type Store } from '@cairn/core';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { noise } from '../support/random.js';
import { tempDir } from '../support/temp-dir.js';
import { startExample } from './support.js';

const WEIGHTS = [noise(3 << 20, 1), noise(3 << 20, 2)] as const;
let store: Store;
let url: string;

async function put(bytes: Uint8Array): Promise<void> {
  await using volume = await store.volumes.fromName('llama', { createIfMissing: true });
  await volume.writeFile('model/weights.bin', bytes);
  await volume.commit();
}

/** The registry is a process of its own; what is put here is another process's commit to it. */
beforeEach(async () => {
  const dir = tempDir();
  store = await openStore(dir, { workers: 1 });
  onTestFinished(() => store.close());
  const server = startExample('model-registry', dir, '0');
  url = await new Promise<string>((resolve, reject) => {
    let said = '';
    server.on('close', () => reject(new Error(`the registry ended: ${said}`)));
    for (const stream of [server.stdout!, server.stderr!]) {
      stream.on('data', (text) => {
        const found = /http:\S+/.exec((said += String(text)));
        if (found !== null) resolve(found[0]);
      });
    }
  });
});

async function bytesOf(response: Response): Promise<Buffer> {
  return Buffer.from(await response.arrayBuffer());
}

describe('the model registry', () => {
  it('serves the newest version at once, and a pinned one for ever', async () => {
    expect((await fetch(`${url}/llama/model/weights.bin`)).status).toBe(404);
    await put(WEIGHTS[0]);
    expect((await bytesOf(await fetch(`${url}/llama/model/weights.bin`))).equals(WEIGHTS[0])).toBe(true);
    await using volume = await store.volumes.fromName('llama');
    await volume.tag('release');
    await put(WEIGHTS[1]);
    expect((await bytesOf(await fetch(`${url}/llama/model/weights.bin`))).equals(WEIGHTS[1])).toBe(true);
    for (const ref of ['release', 'HEAD~1', volume.base!.id])
      expect((await bytesOf(await fetch(`${url}/llama@${ref}/model/weights.bin`))).equals(WEIGHTS[0])).toBe(true);
    expect(await (await fetch(url)).json()).toMatchObject([{ name: 'llama', files: 1, size: 3 << 20 }]);
    expect(await (await fetch(`${url}/llama/model/`)).json()).toMatchObject({ files: [{ path: 'model/weights.bin' }] });
  });

  it('knows content by its ETag: the same bytes are not sent again, whatever version they are in', async () => {
    await put(WEIGHTS[0]);
    const first = await fetch(`${url}/llama/model/weights.bin`);
    const etag = first.headers.get('etag')!;
    await first.arrayBuffer();
    await put(WEIGHTS[1]);
    const again = { headers: { 'If-None-Match': etag } };
    expect((await fetch(`${url}/llama/model/weights.bin`, again)).status).toBe(200);
    await put(WEIGHTS[0]);
    const known = await fetch(`${url}/llama/model/weights.bin`, again);
    expect([known.status, await known.text()]).toEqual([304, '']);
  });

  it('serves ranges', async () => {
    await put(WEIGHTS[0]);
    const get = (range: string): Promise<Response> => fetch(`${url}/llama/model/weights.bin`, { headers: { Range: range } });
    const middle = await get('bytes=1000000-2000000');
    expect([middle.status, middle.headers.get('content-range')]).toEqual([206, `bytes 1000000-2000000/${3 << 20}`]);
    expect((await bytesOf(middle)).equals(WEIGHTS[0].subarray(1_000_000, 2_000_001))).toBe(true);
    expect((await bytesOf(await get('bytes=-5'))).equals(WEIGHTS[0].subarray(-5))).toBe(true);
    expect((await get(`bytes=${3 << 20}-`)).status).toBe(416);
    expect((await get('bytes=0-1,5-6')).status).toBe(200);
  });

  it('answers what cannot be served with what to do', async () => {
    await put(WEIGHTS[0]);
    for (const [path, status] of [
      ['/nobody/x', 404],
      ['/llama@nothing/x', 404],
      ['/llama/missing', 404],
      ['/llama/..%2F..%2Fetc%2Fpasswd', 400],
      ['/%zz', 400],
    ] as const) {
      const response = await fetch(url + path);
      expect(response.status, path).toBe(status);
      expect(await response.json()).toHaveProperty('error');
    }
    expect((await fetch(`${url}/llama/model/weights.bin`, { method: 'DELETE' })).status).toBe(405);
    const head = await fetch(`${url}/llama/model/weights.bin`, { method: 'HEAD' });
    expect([head.status, head.headers.get('content-length')]).toEqual([200, String(3 << 20)]);
  });
});
