/**
 * Weights from a Cairn snapshot into inference processes: loaded once, shared, and known by content.
 *
 * @packageDocumentation
 */
export { version } from './version.js';
export {
  CannotSliceError,
  CudaError,
  GpuError,
  ModelNotFoundError,
  ModelTooLargeError,
  NotInPlaceError,
  NoCudaDriverError,
  OutOfMemoryError,
  ReadBackError,
  TensorNotFoundError,
  type GpuErrorCode,
} from './errors.js';
export { readModelSource, type ModelFile, type ModelSource } from './plan/model-files.js';
export { planLoad, MAX_REGIONS, type LoadPlan, type PlannedFile, type PlannedRead, type PlannedTensor } from './plan/load-plan.js';
export { checkRequest, type Layout, type LoadRequest, type SliceRequest } from './plan/request.js';
export type { Strided } from './plan/slice.js';
export type { CudaInfo, CudaPlace, Device, DeviceInfo, Region, RegionExport } from './device/device.js';
export { CudaDevice, type CudaDeviceOptions } from './device/cuda/cuda-device.js';
export type { CudaRegion } from './device/cuda/cuda-region.js';
export type { CudaSharing } from './device/cuda/messages.js';
export { HostDevice, type HostDeviceOptions } from './device/host-device.js';
export type { LoadJob, LoadOptions, RegionCopy } from './load/job.js';
export { fillRegions, loadRegions, type LoadedRegions } from './load/loader.js';
export { bytesPerSecond, stageRates, type LoadMetrics } from './load/metrics.js';
export { SlotRing, type SlotRingOptions } from './device/slot-ring.js';
export { Registry, type AcquireOptions, type RegistryOptions } from './registry/registry.js';
export type { Lease } from './registry/lease.js';
export type { ModelStatus, RegistryCounters } from './registry/status.js';
export { ModelService, type ServedModel } from './service/model-service.js';
export { startDaemon, type RunningDaemon, type ServeOptions } from './service/start-daemon.js';
export { Client, type RemoteModel } from './protocol/client.js';
export { PROTOCOL_VERSION, type Manifest, type ManifestRegion, type ModelOrigin } from './protocol/manifest.js';
export type { Answers, ModelRequest, NewVersion } from './protocol/messages.js';
export { defaultSocketPath } from './protocol/socket-path.js';
export { defineModel, type EnterContext, type ModelDefinition, type Parameters } from './runner/define-model.js';
export type { Weights } from './runner/weights.js';
export { Runner, type ReloadOptions, type ReloadResult, type RunnerOptions, type RunnerStatus } from './runner/runner.js';
export { spawnWithModel, type OpenModel } from './runner/inherited.js';
