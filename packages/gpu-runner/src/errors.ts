import { CairnError } from '@cairn/core';

/** Codes of this package's errors, beside those of the core that pass through. */
export type GpuErrorCode =
  | 'CAIRN_GPU_TENSOR_NOT_FOUND'
  | 'CAIRN_GPU_CANNOT_SLICE'
  | 'CAIRN_GPU_UNKNOWN_DTYPE'
  | 'CAIRN_GPU_TOO_MANY_REGIONS'
  | 'CAIRN_GPU_MODEL_TOO_LARGE'
  | 'CAIRN_GPU_OUT_OF_MEMORY'
  | 'CAIRN_GPU_NOT_IN_PLACE'
  | 'CAIRN_GPU_DEVICE'
  | 'CAIRN_GPU_NO_CUDA_DRIVER'
  | 'CAIRN_GPU_CUDA'
  | 'CAIRN_GPU_READ_BACK'
  | 'CAIRN_GPU_MODEL_NOT_FOUND'
  | 'CAIRN_GPU_PROTOCOL'
  | 'CAIRN_GPU_REFUSED'
  | 'CAIRN_GPU_NO_DAEMON'
  | 'CAIRN_GPU_PROCESS_FAILED';

/** Every error that this package raises on purpose: a `CairnError` with a code of its own. */
export class GpuError extends CairnError<GpuErrorCode> {}

/** The plan names a tensor that the model does not have. `candidates` are names that look like it. */
export class TensorNotFoundError extends GpuError {
  readonly tensor: string;
  readonly candidates: string[];
  constructor(tensor: string, path: string, candidates: string[] = []) {
    super('CAIRN_GPU_TENSOR_NOT_FOUND', `no tensor '${tensor}' in '${path}'`, {
      hint: candidates.length > 0 ? `names there: ${candidates.join(', ')}` : 'tensors(path) lists the names',
    });
    this.tensor = tensor;
    this.candidates = candidates;
  }
}

/** A tensor cannot be cut into equal whole parts. */
export class CannotSliceError extends GpuError {
  readonly tensor: string;
  constructor(tensor: string, reason: string) {
    super('CAIRN_GPU_CANNOT_SLICE', `tensor '${tensor}' cannot be cut: ${reason}`, {
      hint: 'choose a world size that divides it, another axis, or leave it whole',
    });
    this.tensor = tensor;
  }
}

/** The model needs more memory than the device may use at all. */
export class ModelTooLargeError extends GpuError {
  readonly neededBytes: number;
  readonly budgetBytes: number;
  constructor(neededBytes: number, budgetBytes: number) {
    super('CAIRN_GPU_MODEL_TOO_LARGE', `the model needs ${neededBytes} bytes, more than the budget of ${budgetBytes}`, {
      hint: 'raise the budget, or load a part of the model: some tensors, or one rank of several',
    });
    this.neededBytes = neededBytes;
    this.budgetBytes = budgetBytes;
  }
}

/** The model would fit, but what is loaded is in use. */
export class OutOfMemoryError extends GpuError {
  readonly neededBytes: number;
  constructor(neededBytes: number, message: string) {
    super('CAIRN_GPU_OUT_OF_MEMORY', message, {
      hint: 'release models that are not needed, wait for their users to end, or raise the budget',
    });
    this.neededBytes = neededBytes;
  }
}

/** There is no CUDA driver that could be loaded. `lookedFor` are the libraries that were tried, each with what the system said. */
export class NoCudaDriverError extends GpuError {
  readonly lookedFor: string[];
  constructor(lookedFor: string[]) {
    super('CAIRN_GPU_NO_CUDA_DRIVER', `no CUDA driver: looked for ${lookedFor.join(', ')}`, {
      hint: "install NVIDIA's driver, name its libcuda in CAIRN_GPU_LIBCUDA, or use the device 'host'",
    });
    this.lookedFor = lookedFor;
  }
}

/** A call of the CUDA driver failed. */
export class CudaError extends GpuError {
  /** The function of the driver. */
  readonly call: string;
  readonly result: number;
  /** The driver's name for it, such as `CUDA_ERROR_INVALID_VALUE`. */
  readonly resultName: string;
  constructor(call: string, result: number, resultName: string) {
    super('CAIRN_GPU_CUDA', `${call} failed: ${resultName} (${result})`, {
      hint: 'NVIDIA documents these errors at CUresult of the driver API; after one that sticks the device has to be opened anew',
    });
    this.call = call;
    this.result = result;
    this.resultName = resultName;
  }
}

/** Device memory does not hold what was copied there. */
export class ReadBackError extends GpuError {
  /** In its region. */
  readonly offset: number;
  readonly bytes: number;
  constructor(offset: number, bytes: number) {
    super('CAIRN_GPU_READ_BACK', `${bytes} bytes that were copied to offset ${offset} read back differently`, {
      hint: "the device's memory or the bus is faulty: look for ECC and PCIe errors with 'nvidia-smi -q'",
    });
    this.offset = offset;
    this.bytes = bytes;
  }
}

/** A model's memory cannot be changed into the newer version where it is. Nothing has changed. */
export class NotInPlaceError extends GpuError {
  constructor(reason: string) {
    super('CAIRN_GPU_NOT_IN_PLACE', `the model cannot be updated in place: ${reason}`, {
      hint: 'load the new version beside the old one, which takes over what did not change',
    });
  }
}

/** A volume or file that a model is to be loaded from is not there, also after a look at the newest version. */
export class ModelNotFoundError extends GpuError {
  constructor(what: string, cause?: unknown) {
    const why = cause instanceof Error ? `: ${cause.message}` : '';
    super('CAIRN_GPU_MODEL_NOT_FOUND', `no model ${what}${why}`, { hint: "'cairn volume list' and 'cairn ls' show what there is", cause });
  }
}

/** A system call that has to work did not. */
export function deviceError(doing: string, errno: number | string): GpuError {
  return new GpuError('CAIRN_GPU_DEVICE', `${doing} failed (errno ${errno})`, {
    hint: 'host memory is shared by memfd_create or /dev/shm, on Linux: see docs/gpu-protocol.md',
  });
}
