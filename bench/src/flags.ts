import { parseArgs } from 'node:util';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** How much each row stores. */
export interface Sizes {
  readonly weightsBytes: number;
  readonly genericBytes: number;
  /** Of each kind of weights in the size row. */
  readonly sizeRowBytes: number;
  readonly smallFiles: number;
  readonly smallFileBytes: number;
  /** Chunks in a store before small files are put into it. */
  readonly loadedChunks: number;
  /** Numbers of files in the volumes of the commit and opening rows, ascending. */
  readonly manifests: readonly number[];
  readonly commits: number;
  /** Files stored in the memory row, ascending; the last is the one with a target. */
  readonly memoryBytes: readonly number[];
  /** Models loaded in the memory row of models, ascending; the last is the one with a target. */
  readonly modelBytes: readonly number[];
  readonly starts: number;
}

export interface Flags {
  readonly help: boolean;
  readonly list: boolean;
  /** Tiny sizes, one round, no peers that would have to be installed, no network: does everything run? The figures mean nothing. */
  readonly quick: boolean;
  readonly peers: boolean;
  readonly rounds: number;
  /** Ids of rows; empty: all. */
  readonly rows: readonly string[];
  readonly seed: number;
  readonly cacheDir: string | undefined;
  readonly workDir: string | undefined;
  readonly outDir: string | undefined;
  readonly sizes: Sizes;
}

export const USAGE = `Usage: pnpm bench [-- flags]

  --rows A,B        only these rows (see --list)
  --rounds N        rounds per comparison (default 5)
  --quick           tiny sizes, one round, no installed peers: checks that everything runs, measures nothing
  --no-peers        Cairn, cp and fs alone
  --size GIB        size of the weights and of the generic bytes (default 1)
  --files N         number of small files (default 100000)
  --manifests A,B   numbers of files in the volumes of the commit and opening rows (default 1000,100000,1000000)
  --chunks N        chunks in the store that small files are put into (default 2000000)
  --memory GIB      size of the file in the memory row (default 8)
  --model GIB       size of the model in the memory row of models (default 4); takes as much memory
  --seed N          seed of the generated data (default 1)
  --cache DIR       generated and downloaded data (default .cache/bench)
  --work DIR        where stores and repositories are made, in a new folder (default: that of --cache)
  --out DIR         where the report goes (default bench/results; with --quick .cache/bench/results-quick)
  --list            names the rows
  --help            this text
`;

/** @throws TypeError, with a message for the terminal, on an unknown flag or a value that is no number. */
export function parseFlags(args: readonly string[]): Flags {
  const { values } = parseArgs({
    // pnpm hands its own separator on.
    args: args[0] === '--' ? args.slice(1) : [...args],
    options: {
      rows: { type: 'string' },
      rounds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      'no-peers': { type: 'boolean', default: false },
      size: { type: 'string' },
      files: { type: 'string' },
      manifests: { type: 'string' },
      chunks: { type: 'string' },
      memory: { type: 'string' },
      model: { type: 'string' },
      seed: { type: 'string' },
      cache: { type: 'string' },
      work: { type: 'string' },
      out: { type: 'string' },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const { quick } = values;
  const base = quick ? QUICK_SIZES : FULL_SIZES;
  const weightsBytes = values.size === undefined ? base.weightsBytes : Math.round(positive('--size', values.size) * GIB);
  return {
    help: values.help,
    list: values.list,
    quick,
    peers: !quick && !values['no-peers'],
    rounds: values.rounds === undefined ? (quick ? 1 : 5) : whole('--rounds', values.rounds),
    rows: list(values.rows),
    seed: values.seed === undefined ? 1 : whole('--seed', values.seed),
    cacheDir: values.cache,
    workDir: values.work,
    outDir: values.out,
    sizes: {
      ...base,
      weightsBytes,
      genericBytes: values.size === undefined ? base.genericBytes : weightsBytes,
      smallFiles: values.files === undefined ? base.smallFiles : whole('--files', values.files),
      loadedChunks: values.chunks === undefined ? base.loadedChunks : whole('--chunks', values.chunks),
      manifests:
        values.manifests === undefined ? base.manifests : ascending(list(values.manifests).map((text) => whole('--manifests', text))),
      memoryBytes: values.memory === undefined ? base.memoryBytes : ascending([GIB, Math.round(positive('--memory', values.memory) * GIB)]),
      modelBytes: values.model === undefined ? base.modelBytes : ascending([GIB, Math.round(positive('--model', values.model) * GIB)]),
    },
  };
}

const FULL_SIZES: Sizes = {
  weightsBytes: GIB,
  genericBytes: GIB,
  sizeRowBytes: 256 * MIB,
  smallFiles: 100_000,
  smallFileBytes: 4096,
  loadedChunks: 2_000_000,
  manifests: [1_000, 100_000, 1_000_000],
  commits: 50,
  memoryBytes: [GIB, 8 * GIB],
  modelBytes: [GIB, 4 * GIB],
  starts: 20,
};

const QUICK_SIZES: Sizes = {
  weightsBytes: 24 * MIB,
  genericBytes: 12 * MIB,
  sizeRowBytes: 6 * MIB,
  smallFiles: 300,
  smallFileBytes: 4096,
  loadedChunks: 3_000,
  manifests: [100, 2_000],
  commits: 4,
  memoryBytes: [12 * MIB, 48 * MIB],
  modelBytes: [12 * MIB, 24 * MIB],
  starts: 1,
};

function list(text: string | undefined): string[] {
  return (text ?? '').split(',').filter((part) => part !== '');
}

function ascending(values: number[]): number[] {
  return [...new Set(values)].sort((a, b) => a - b);
}

function positive(flag: string, text: string): number {
  const value = Number(text);
  if (!(value > 0 && Number.isFinite(value))) throw new TypeError(`${flag} takes a positive number, not '${text}'`);
  return value;
}

function whole(flag: string, text: string): number {
  const value = positive(flag, text);
  if (!Number.isSafeInteger(value)) throw new TypeError(`${flag} takes a whole number, not '${text}'`);
  return value;
}
