/*
 * The same trainer in JavaScript: it writes checkpoints into a folder, and goes on from the newest one.
 *
 *     cairn run --volume runs=./run -- node train.mjs ./run
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

const FEATURES = 2000;
const EVERY = 10;
const KEEP = 2;
const [folder, steps = '60', pause = '0'] = process.argv.slice(2); // pause: seconds that a step takes longer, to have time to look

/** A start that is the same each time: mulberry32, and from it numbers of a normal distribution (Box, Muller). */
function chance(seed) {
  const uniform = () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

/** Written aside and renamed, so that whoever looks sees a whole checkpoint or none. */
function save(step, loss, weights) {
  const aside = join(folder, `.checkpoint-${step}`);
  rmSync(aside, { recursive: true, force: true });
  mkdirSync(aside, { recursive: true });
  writeFileSync(join(aside, 'weights.bin'), new Uint8Array(weights.buffer));
  writeFileSync(join(aside, 'state.json'), JSON.stringify({ step, loss }));
  renameSync(aside, join(folder, `checkpoint-${step}`));
  for (let old = EVERY; old <= step - EVERY * KEEP; old += EVERY)
    rmSync(join(folder, `checkpoint-${old}`), { recursive: true, force: true });
}

function newest() {
  const found = readdirSync(folder).map((name) => Number(/^checkpoint-(\d+)$/.exec(name)?.[1] ?? 0));
  const step = Math.max(0, ...found);
  if (step === 0) return { step, weights: new Float64Array(FEATURES) };
  const bytes = readFileSync(join(folder, `checkpoint-${step}`, 'weights.bin'));
  return { step, weights: new Float64Array(Uint8Array.from(bytes).buffer) };
}

const normal = chance(1);
const truth = Float64Array.from({ length: FEATURES }, normal);
const inputs = Array.from({ length: 64 }, () => Float64Array.from({ length: FEATURES }, () => normal() / Math.sqrt(FEATURES)));
const targets = inputs.map((row) => row.reduce((sum, x, i) => sum + x * truth[i], 0) + 0.1 * normal());

const { step: start, weights } = newest();
console.log(`starting at step ${start}`);
for (let step = start + 1; step <= Number(steps); step++) {
  const errors = inputs.map((row, n) => row.reduce((sum, x, i) => sum + x * weights[i], 0) - targets[n]);
  for (const [n, row] of inputs.entries()) for (let i = 0; i < FEATURES; i++) weights[i] -= 0.05 * errors[n] * row[i];
  const loss = errors.reduce((sum, error) => sum + error * error, 0) / inputs.length;
  if (step % EVERY === 0) {
    save(step, loss, weights);
    console.log(`step ${step} loss ${loss.toFixed(6)}`);
  }
  await setTimeout(1000 * Number(pause));
}
