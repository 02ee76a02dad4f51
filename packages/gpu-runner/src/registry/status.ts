/** What is loaded, and how much use it has had. */
export interface ModelStatus {
  key: string;
  lineage?: string;
  state: 'loading' | 'ready';
  bytes: number;
  users: number;
}

/** Counters since the start. */
export interface RegistryCounters {
  loads: number;
  /** In place. */
  updates: number;
  /** Requests that found their model there or on its way. */
  hits: number;
  evictions: number;
  failures: number;
  /** Times that memory of others was filled. */
  fills: number;
  readBytes: number;
  reusedBytes: number;
}
