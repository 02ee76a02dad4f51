// Runs the model of echo.mjs in two processes until it is killed.
import { openStore } from '@cairn/core';
import { Runner } from '@cairn/gpu-runner';

const store = await openStore(process.argv[2], { workers: 1 });
const runner = await Runner.start({ store, module: new URL('./echo.mjs', import.meta.url), processes: 2 });
console.log(
  `running ${runner
    .status()
    .processes.map(({ pid }) => pid)
    .join(' ')}.`,
);
