import type { GpuErrorCode } from '../errors.js';

/** Complete by its type: a new code has to be placed here before this compiles. The numbers mean what they mean for `cairn`. */
const BY_ERROR_CODE: Record<GpuErrorCode, number> = {
  CAIRN_GPU_NOT_IN_PLACE: 7,
  CAIRN_GPU_DEVICE: 1,
  CAIRN_GPU_NO_CUDA_DRIVER: 1,
  CAIRN_GPU_CUDA: 1,
  CAIRN_GPU_READ_BACK: 1,
  CAIRN_GPU_PROTOCOL: 1,
  CAIRN_GPU_NO_DAEMON: 1,
  CAIRN_GPU_PROCESS_FAILED: 1,
  CAIRN_GPU_CANNOT_SLICE: 2,
  CAIRN_GPU_UNKNOWN_DTYPE: 2,
  CAIRN_GPU_TOO_MANY_REGIONS: 2,
  CAIRN_GPU_TENSOR_NOT_FOUND: 3,
  CAIRN_GPU_MODEL_NOT_FOUND: 3,
  CAIRN_GPU_REFUSED: 7,
  CAIRN_GPU_MODEL_TOO_LARGE: 8,
  CAIRN_GPU_OUT_OF_MEMORY: 8,
};

/** The exit status of `cairn-gpu` for an error's code. */
export function exitCodeFor(code: string): number {
  // Of the core's codes the one that is about what was typed.
  if (code === 'CAIRN_INVALID_ARGUMENT') return 2;
  return Object.hasOwn(BY_ERROR_CODE, code) ? BY_ERROR_CODE[code as GpuErrorCode] : 1;
}
