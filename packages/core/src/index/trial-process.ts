import { IndexEnvironment } from './environment.js';
import { toldRefs } from './told-refs.js';

/*
 * A process that opens an index which may end it: see trial.ts. It ends with 0 when it is still there afterwards, whatever it found.
 */
const [indexDir, mode] = process.argv.slice(2) as [string, string];

function look(): void {
  const env = IndexEnvironment.open(indexDir, { durable: true, readOnly: mode === 'read' });
  if (mode === 'read') toldRefs(env, () => false);
  else env.transaction(() => void toldRefs(env, () => false));
}

process.once('message', () => {
  try {
    look();
  } catch {
    // An error is an answer: whoever asked will meet it, too.
  }
  process.exit(0);
});
// Whoever asked is gone.
process.once('disconnect', () => process.exit(0));
process.send?.('ready');
