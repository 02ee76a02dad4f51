/** How memory is shared: `vmm` as descriptors (virtual memory management), `ipc` as handles of 64 bytes. */
export type CudaSharing = 'vmm' | 'ipc';

/** What the thread of a device is started with. */
export interface ThreadOptions {
  ordinal: number;
  driverPath: string | undefined;
  sharing: CudaSharing | undefined;
  /** The ring's memory, to be pinned, with room to begin at a page. */
  ring: SharedArrayBuffer;
  ringBytes: number;
  readBack: boolean;
}

/** What the thread found, once it is ready. */
export interface OpenedDevice {
  name: string;
  /** `GPU-` and hexadecimal digits in groups, as nvidia-smi writes it. */
  uuid: string;
  /** 13000 is 13.0. */
  driverVersion: number;
  sharing: CudaSharing;
  granularityBytes: number;
  freeBytes: number;
  totalBytes: number;
  /** Where in its memory the ring begins. */
  ringOffset: number;
}

/** Requests to the thread, by name: parameters and result. Numbers of memory are the thread's. */
export interface Operations {
  allocate: { parameters: { sizeBytes: number }; result: { memory: number; mappedBytes: number } };
  adopt: { parameters: { descriptor: number; sizeBytes: number }; result: { memory: number; mappedBytes: number } };
  export: { parameters: { memory: number }; result: { descriptor: number } | { handle: string } };
  /** From the ring, or from bytes that came with the message. */
  copyIn: { parameters: { memory: number; offset: number; bytes: number; ringOffset?: number; data?: Uint8Array }; result: undefined };
  copyFrom: { parameters: { memory: number; offset: number; source: number; sourceOffset: number; bytes: number }; result: undefined };
  clear: { parameters: { memory: number; offset: number; bytes: number }; result: undefined };
  read: { parameters: { memory: number; offset: number; bytes: number }; result: Uint8Array };
  free: { parameters: { memory: number }; result: undefined };
  memory: { parameters: Record<never, never>; result: { freeBytes: number; totalBytes: number } };
  close: { parameters: Record<never, never>; result: undefined };
}

export type OperationName = keyof Operations;
export type RequestMessage = { [Name in OperationName]: { id: number; name: Name } & Operations[Name]['parameters'] }[OperationName];

/** Errors as they cross threads. */
export type ThreadError =
  | { kind: 'cuda'; call: string; result: number; resultName: string }
  | { kind: 'noDriver'; lookedFor: string[] }
  | { kind: 'readBack'; offset: number; bytes: number }
  | { kind: 'other'; message: string };

/** `unreleasedBytes`: memory that could not be given back to the driver yet. */
export type ReplyMessage =
  | { opened: OpenedDevice }
  | { openError: ThreadError }
  | { id: number; result: unknown; unreleasedBytes: number }
  | { id: number; error: ThreadError; unreleasedBytes: number };
