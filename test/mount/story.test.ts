import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Child } from '../support/children.js';
import { edit, folder, rig, type Rig } from './support.js';

/** A mount of the volume in a process of its own. */
class Station {
  readonly dir: string;
  private readonly child: Child;

  static async open(r: Rig, name: string): Promise<Station> {
    const station = new Station(r, name);
    expect(await station.child.hears(({ say }) => say === 'mounted')).toBeDefined();
    return station;
  }

  private constructor(r: Rig, name: string) {
    this.dir = r.path(name);
    this.child = Child.start('mount-driver.mjs', { store: r.store.info().dir, folder: this.dir });
  }

  async does(call: 'commit' | 'reload', options = {}): Promise<object> {
    const from = this.child.said.length;
    this.child.tell({ call, options });
    const done = await this.child.hears(({ say }) => say === 'done', from);
    if (done === undefined) throw new Error((await this.child.ended).stderr);
    return done;
  }

  has(name: string): string | undefined {
    return existsSync(join(this.dir, name)) ? readFileSync(join(this.dir, name), 'utf8') : undefined;
  }
}

test('one process commits, another does not see it, reloads, and sees it: what a server asks for is not there, then there', async () => {
  const r = await rig({ old: 'old' });
  const [f, g] = [await Station.open(r, 'f'), await Station.open(r, 'g')];
  edit(f.dir, { 'model/weights': 'trained', old: 'changed' });
  expect(await f.does('commit')).toMatchObject({ added: 1, modified: 1 });
  expect([g.has('model/weights'), g.has('old')]).toEqual([undefined, 'old']);
  expect(await g.does('reload')).toMatchObject({ updated: 2, conflicts: [] });
  expect([g.has('model/weights'), g.has('old')]).toEqual(['trained', 'changed']);
});

test('two processes that write different files both win; of the same file the last one wins, and the first is in the history', async () => {
  const r = await rig({ same: 'before' });
  const [f, g] = [await Station.open(r, 'f'), await Station.open(r, 'g')];
  edit(f.dir, { 'from f': 'f', same: 'f' });
  edit(g.dir, { 'from g': 'g', same: 'g' });
  await Promise.all([f.does('commit'), g.does('commit')]);
  const { same, ...rest } = await r.head();
  expect(rest).toEqual({ 'from f': 'f', 'from g': 'g' });
  await r.v.reload();
  const versions = [];
  for await (const { id } of r.v.history({ path: 'same' })) versions.push(await (await r.v.snapshot(id)).readFile('same', 'utf8'));
  expect(versions).toEqual([same, same === 'f' ? 'g' : 'f', 'before']);
  for (const station of [f, g]) await station.does('reload');
  for (const station of [f, g]) expect(folder(station.dir)).toEqual({ ...rest, same });
});

test('who opens a file again and again reads a whole version each time, while commits and reloads run', async () => {
  const text = (version: number): string => `${version}\n`.repeat(40_000 + version);
  const r = await rig({ served: text(0), 'd/other': 'x' });
  const [f, g] = [await Station.open(r, 'f'), await Station.open(r, 'g')];
  const reader = Child.start('folder-reader.mjs', { path: join(g.dir, 'served') });
  const met = (version: number): Promise<unknown> =>
    reader
      .hears(({ say, version: read }) => say === 'read' && read === String(version))
      .then((found) => expect(found, `${version}`).toBeDefined());
  await met(0);
  for (let version = 1; version <= 12; version++) {
    writeFileSync(join(f.dir, 'served'), text(version));
    writeFileSync(join(g.dir, 'd/other'), `${version}`);
    await Promise.all([f.does('commit'), g.does('commit')]);
    await g.does('reload');
    await met(version);
  }
  reader.stop();
  const said = await reader.succeeds();
  const reads = said.filter(({ say }) => say === 'read');
  expect(reads.map(({ version, isWhole, length }) => ({ version, isWhole, length }))).toEqual(
    Array.from({ length: 13 }, (_, i) => ({ version: String(i), isWhole: true, length: text(i).length })),
  );
  expect(said.at(-1)!['reads']).toBeGreaterThan(13);
});
