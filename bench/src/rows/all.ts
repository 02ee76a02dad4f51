import { commitRow, openingRow } from './commits.js';
import { firstStoreRow } from './first-store.js';
import { limitsRow } from './limits.js';
import { memoryRow } from './memory.js';
import { modelLoadRow } from './model-load.js';
import { modelMemoryRow } from './model-memory.js';
import { attachRow, modelReloadRow } from './models.js';
import { mountedRow, mountRow } from './mounts.js';
import { readIntoRow } from './read-into.js';
import { restoreRow } from './restore.js';
import type { Row } from './row.js';
import { sizeRow } from './size.js';
import { smallFilesRow } from './small-files.js';
import { startRow } from './start.js';
import { storeGenericAgainRow, storeWeightsAgainRow } from './store-again.js';
import { verifyRow } from './verify.js';
import { versionsRow } from './versions.js';
import { writersRow } from './writers.js';

/** Every row, in the order of the report. */
export const ROWS: readonly Row[] = [
  limitsRow,
  firstStoreRow,
  storeWeightsAgainRow,
  storeGenericAgainRow,
  restoreRow,
  verifyRow,
  readIntoRow,
  smallFilesRow,
  commitRow,
  openingRow,
  writersRow,
  mountRow,
  mountedRow,
  modelLoadRow,
  attachRow,
  modelReloadRow,
  modelMemoryRow,
  versionsRow,
  sizeRow,
  memoryRow,
  startRow,
];
