/**
 * Weights from a Cairn snapshot into inference processes: loaded once, shared, and known by content.
 *
 * @packageDocumentation
 */
export { version } from './version.js';
export {
  CannotSliceError,
  GpuError,
  ModelNotFoundError,
  ModelTooLargeError,
  OutOfMemoryError,
  TensorNotFoundError,
  type GpuErrorCode,
} from './errors.js';
export { readModelSource, type ModelFile, type ModelSource } from './plan/model-files.js';
export { planLoad, MAX_REGIONS, type LoadPlan, type PlannedFile, type PlannedRead, type PlannedTensor } from './plan/load-plan.js';
export { checkRequest, type Layout, type LoadRequest, type SliceRequest } from './plan/request.js';
export type { Strided } from './plan/slice.js';
export type { Device, DeviceInfo, Region, RegionExport } from './device/device.js';
export { HostDevice, type HostDeviceOptions } from './device/host-device.js';
export { loadRegions, type LoadedRegions, type LoadJob, type LoadOptions, type RegionCopy } from './load/loader.js';
export { bytesPerSecond, type LoadMetrics } from './load/metrics.js';
export type { SlotRingOptions } from './load/slot-ring.js';
export {
  Registry,
  type AcquireOptions,
  type Lease,
  type ModelStatus,
  type RegistryCounters,
  type RegistryOptions,
} from './registry/registry.js';
