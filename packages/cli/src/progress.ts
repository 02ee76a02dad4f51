import type { Progress } from '@cairn/core';
import type { Params, SingleBar } from 'cli-progress';
import type { Context } from './context.js';
import { count, rate, size } from './format.js';

/** What is done sooner needs no bar. */
const DELAY_MS = 500;
/** Where there is no terminal, as in CI: one line each so often. */
const LINE_INTERVAL_MS = 10_000;
const BAR_COLUMNS = 24;
/** What new bytes a few small files have is known at their commit only. */
const DEDUP_FROM_BYTES = 1 << 20;

/** What a long call has done and how long it took. */
export interface Tracked<T> {
  value: T;
  progress: Progress;
  seconds: number;
}

/** Runs a long call and shows how far it is, on stderr: a bar on a terminal, plain lines elsewhere, nothing with `-q`. */
export async function tracked<T>(
  context: Context,
  label: string,
  call: (onProgress: (progress: Progress) => void) => Promise<T>,
): Promise<Tracked<T>> {
  let progress: Progress = { phase: label, bytes: 0, files: 0, newBytes: 0 };
  const start = performance.now();
  let phaseStart = start;
  const since = (time: number): number => (performance.now() - time) / 1000;
  const stop = show(context, () => describe(label, progress, since(phaseStart)));
  try {
    const value = await call((latest) => {
      // Only what counts each phase from 0 has its rate from there.
      if (latest.steps !== undefined && latest.phase !== progress.phase) phaseStart = performance.now();
      progress = latest;
    });
    return { value, progress, seconds: since(start) };
  } finally {
    stop();
  }
}

interface Description {
  done: number;
  total: number | undefined;
  label: string;
  figures: string;
}

/** @internal */
export function describe(label: string, progress: Progress, seconds: number): Description {
  const { phase, bytes, totalBytes, files, newBytes, steps } = progress;
  const hasBytes = steps === undefined || bytes > 0 || totalBytes !== undefined;
  const figures = [
    ...(hasBytes ? [totalBytes === undefined ? size(bytes) : `${size(bytes)} of ${size(totalBytes)}`, rate(bytes, seconds)] : []),
    ...(steps === undefined ? [] : [countOf(steps)]),
    ...(files > 0 ? [count(files, 'file')] : []),
    // Only what stores data reports new bytes; for the others zero would read as "everything was there already".
    ...((label === 'put' || label === 'commit') && bytes >= DEDUP_FROM_BYTES
      ? [`${Math.round(100 * (1 - Math.min(1, newBytes / bytes)))} % dedup`]
      : []),
  ];
  const shown = { label: steps === undefined ? label : `${label}: ${phase}`, figures: figures.join(', ') };
  if (totalBytes !== undefined || steps === undefined) return { done: bytes, total: totalBytes, ...shown };
  return { done: steps.done, total: steps.total, ...shown };
}

function countOf({ of, done, total }: NonNullable<Progress['steps']>): string {
  return total === undefined ? count(done, of.slice(0, -1)) : `${done} of ${count(total, of.slice(0, -1))}`;
}

/** Returns a function that takes it away again. */
function show(context: Context, look: () => Description): () => void {
  if (context.quiet) return () => {};
  if (process.stderr.isTTY) return showBar(look);
  // With --json stderr is for errors as JSON.
  return context.json ? () => {} : showLines(look);
}

function showLines(look: () => Description): () => void {
  const timer = setInterval(() => {
    const { label, figures } = look();
    process.stderr.write(`${label}: ${figures}\n`);
  }, LINE_INTERVAL_MS).unref();
  return () => clearInterval(timer);
}

function showBar(look: () => Description): () => void {
  let bar: SingleBar | undefined;
  let ended = false;
  let timer = setTimeout(() => {
    void drawBar(look).then((drawn) => {
      if (ended) return drawn.stop();
      bar = drawn;
      timer = setInterval(() => update(drawn, look()), 100).unref();
    });
  }, DELAY_MS).unref();
  return () => {
    ended = true;
    clearTimeout(timer);
    bar?.stop();
  };
}

async function drawBar(look: () => Description): Promise<SingleBar> {
  const { default: cliProgress } = await import('cli-progress');
  const bar = new cliProgress.SingleBar(
    {
      stream: process.stderr,
      clearOnComplete: true,
      // Signals are ours (main.ts), and a cursor that was never hidden needs no restoring.
      gracefulExit: false,
      hideCursor: false,
      linewrap: null,
      etaBuffer: 50,
      format: (_options, params: Params, shown: Description) => barText(params, shown),
    },
    cliProgress.Presets.shades_classic,
  );
  const shown = look();
  bar.start(shown.total ?? 0, shown.done, shown);
  return bar;
}

function update(bar: SingleBar, shown: Description): void {
  if (shown.total !== undefined && shown.total !== bar.getTotal()) bar.setTotal(shown.total);
  bar.update(shown.done, shown);
}

function barText(params: Params, shown: Description): string {
  // 0 where the terminal does not tell.
  const columns = process.stderr.columns || 80;
  if (shown.total === undefined) return `${shown.label}  ${shown.figures}`.slice(0, columns - 1);
  const filled = Math.round(BAR_COLUMNS * Math.min(1, params.progress));
  const left = Number.isFinite(params.eta) && params.eta > 0 ? `, ${params.eta} s left` : '';
  const percent = `${Math.floor(100 * Math.min(1, params.progress))} %`.padStart(5);
  return `${shown.label} ${'█'.repeat(filled)}${'░'.repeat(BAR_COLUMNS - filled)} ${percent}  ${shown.figures}${left}`.slice(
    0,
    columns - 1,
  );
}
