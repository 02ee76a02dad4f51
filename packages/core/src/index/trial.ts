import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { CairnError } from '../errors.js';

const ENTRY = fileURLToPath(new URL('./trial-process.js', import.meta.url));
/** LMDB may go round in circles in a damaged file; so long only, since waiting for the write lock is no sign of it. */
const PATIENCE_MS = 120_000;

/** What is tried: reading alone, or under the write lock. */
export type TrialMode = 'read' | 'write';

/**
 * Whether an index that may be damaged can be opened, and its refs be read, without ending the process: LMDB trusts its file, and a
 * flipped bit may lead it anywhere. Tried in a process of its own; what is merely damaged, and said so by an error, passes.
 *
 * @throws what the signal was aborted with; what keeps a process from being started
 */
export async function survivesOpening(indexDir: string, mode: TrialMode, signal?: AbortSignal): Promise<boolean> {
  signal?.throwIfAborted();
  const child = fork(ENTRY, [indexDir, mode], { execArgv: [], stdio: 'ignore' });
  const end = (): void => void child.kill('SIGKILL');
  const patience = setTimeout(end, PATIENCE_MS);
  signal?.addEventListener('abort', end, { once: true });
  // It opens nothing before it is told to: whatever ends it earlier was not the index.
  let began = false;
  child.once('message', () => {
    began = true;
    child.send('go', () => undefined);
  });
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', resolve);
    });
    signal?.throwIfAborted();
    if (!began) throw new Error(`it ended with ${code ?? child.signalCode}`);
    return code === 0;
  } catch (error) {
    if (signal?.aborted === true) throw error;
    throw new CairnError('CAIRN_WORKER_DIED', 'the process that looks at the old index before this one could not be started', {
      hint: 'see the cause; nothing was changed',
      cause: error,
    });
  } finally {
    clearTimeout(patience);
    signal?.removeEventListener('abort', end);
  }
}
