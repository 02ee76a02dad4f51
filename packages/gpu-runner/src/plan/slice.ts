import { dtypeBlock, type TensorInfo } from '@cairn/core';
import { CannotSliceError, GpuError } from '../errors.js';
import type { SliceRequest } from './request.js';

/** Evenly spaced runs of bytes of a file, which are put one behind the other. */
export interface Strided {
  /** Of the first run, in the file. */
  position: number;
  /** Of one run. */
  runBytes: number;
  runs: number;
  /** From the start of one run to the start of the next. */
  strideBytes: number;
}

/** A part of a tensor: where its bytes are, and the shape that they make. */
export interface TensorPart extends Strided {
  shape: number[];
}

/** All of a tensor: one run. */
export function wholeTensor({ offset, size, shape }: TensorInfo): TensorPart {
  return { position: offset, runBytes: size, runs: 1, strideBytes: size, shape };
}

/**
 * The part of a tensor that belongs to a rank, cut along one dimension; row-major, so that rows are one run of bytes and columns
 * one run for each row.
 * @throws CannotSliceError when the parts would not be equal, or not whole elements or quantised blocks.
 * @throws GpuError `CAIRN_GPU_UNKNOWN_DTYPE` when the size of an element is not known.
 */
export function cutTensor(tensor: TensorInfo, axis: number, { rank, worldSize }: SliceRequest): TensorPart {
  const { name, dtype, shape, offset, size } = tensor;
  const block = dtypeBlock(dtype);
  if (block === undefined)
    throw new GpuError('CAIRN_GPU_UNKNOWN_DTYPE', `tensor '${name}' has the unknown dtype ${dtype}`, { hint: 'load it whole' });
  const length = shape[axis];
  if (length === undefined) throw new CannotSliceError(name, `it has ${shape.length} dimensions`);
  if (length % worldSize !== 0) throw new CannotSliceError(name, `${length} is not divisible by ${worldSize}`);
  const runs = product(shape.slice(0, axis));
  const runElements = product(shape.slice(axis)) / worldSize;
  const part = shape.with(axis, length / worldSize);
  if (size === 0) return { position: offset, runBytes: 0, runs: 1, strideBytes: 0, shape: part };
  if (runElements % block.elements !== 0)
    throw new CannotSliceError(name, `a part would not be whole blocks of ${block.elements} elements (${dtype})`);
  const runBytes = (runElements / block.elements) * block.bytes;
  return { position: offset + rank * runBytes, runBytes, runs, strideBytes: runBytes * worldSize, shape: part };
}

function product(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total * number, 1);
}
