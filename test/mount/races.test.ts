import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { writeAll } from '../contract/support.js';
import { lateWrites } from '../support/editing-disk.mjs';
import { tempDir } from '../support/temp-dir.js';
import { folder, headOf, temporaries } from './support.js';

const MODULE = new URL('../support/editing-disk.mjs', import.meta.url).href;

describe('a file edited at the very moment when a reload replaces or removes it', () => {
  const moments = ['before', 'after', ...(process.platform === 'linux' ? (['opens'] as const) : [])] as const;
  test.each(moments)('keeps its bytes, and is named: %s', async (moment) => {
    const dir = tempDir();
    const options = { moment, text: '+edit' };
    const store = await openStoreOn({ durable: false, module: MODULE, options }, join(dir, 'store'), { workers: 1 });
    onTestFinished(() => store.close());
    const v = await store.volumes.fromName('v', { createIfMissing: true });
    await writeAll(v, { replaced: 'old', removed: 'old', 'd/removed': 'old', kept: 'kept' });
    await v.commit();
    const f = await v.mount(join(dir, 'f'));
    await writeAll(v, { replaced: 'theirs', new: 'theirs' });
    await v.remove('removed');
    await v.remove('d', { recursive: true });
    await v.commit();

    expect(await f.reload()).toEqual({ updated: 1, conflicts: ['d/removed', 'removed', 'replaced'], busy: [] });
    lateWrites('+edit');
    const expected = { replaced: 'old+edit', removed: 'old+edit', 'd/removed': 'old+edit', kept: 'kept', new: 'theirs' };
    expect(folder(f.dir)).toEqual(expected);
    expect(temporaries(f.dir)).toEqual([]);
    expect(await f.status()).toMatchObject({ added: ['d/removed', 'removed'], modified: ['replaced'], removed: [], behind: 0 });
    await f.commit();
    expect(await headOf(await store.volumes.fromName('v'))).toEqual(expected);
  });
});
