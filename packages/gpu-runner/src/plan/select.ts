import type { TensorInfo } from '@cairn/core';
import picomatch from 'picomatch';
import { TensorNotFoundError } from '../errors.js';
import type { ModelSource } from './model-files.js';
import type { LoadRequest } from './request.js';
import { cutTensor, wholeTensor, type TensorPart } from './slice.js';

export interface SelectedTensor {
  tensor: TensorInfo;
  part: TensorPart;
}

const MAX_CANDIDATES = 5;

/**
 * The tensors that a request asks for, in the order of the files, each with the part of it that is wanted.
 * @throws TensorNotFoundError when a name, or a pattern as a whole, finds nothing.
 */
export function selectTensors(source: ModelSource, { include, tensors: names, slice }: LoadRequest): SelectedTensor[] {
  const matchers = (include ?? []).map((pattern) => matcher(pattern));
  const wanted = new Set(names);
  const byName = new Set(source.tensors.map((tensor) => tensor.name));
  for (const name of wanted) if (!byName.has(name)) throw new TensorNotFoundError(name, source.path, similar(name, byName));
  for (const [i, matches] of matchers.entries())
    if (!source.tensors.some((tensor) => matches(tensor.name))) throw new TensorNotFoundError(include![i]!, source.path);
  const all = include === undefined && names === undefined;
  const rows = (slice?.rows ?? []).map((pattern) => matcher(pattern));
  const columns = (slice?.columns ?? []).map((pattern) => matcher(pattern));
  const selected: SelectedTensor[] = [];
  for (const tensor of source.tensors) {
    const { name, shape } = tensor;
    if (!all && !wanted.has(name) && !matchers.some((matches) => matches(name))) continue;
    let part = wholeTensor(tensor);
    if (slice !== undefined && rows.some((matches) => matches(name))) part = cutTensor(tensor, 0, slice);
    else if (slice !== undefined && columns.some((matches) => matches(name)))
      part = cutTensor(tensor, Math.max(0, shape.length - 1), slice);
    selected.push({ tensor, part });
  }
  if (selected.length === 0) throw new TensorNotFoundError('*', source.path);
  return selected;
}

/** Names of tensors look like `model.layers.0.weight`: to picomatch a file name, whose dots mean nothing. */
function matcher(pattern: string): (name: string) => boolean {
  // Without extended globs, whose repetitions of repetitions may take forever to fail.
  return picomatch(pattern, { dot: true, bash: true, noextglob: true });
}

function similar(name: string, names: ReadonlySet<string>): string[] {
  const tail = name.split('.').slice(-2).join('.');
  return [...names].filter((one) => one.endsWith(tail) || one.startsWith(name)).slice(0, MAX_CANDIDATES);
}
