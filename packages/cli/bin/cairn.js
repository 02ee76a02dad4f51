#!/usr/bin/env node
// Node 22 and newer keep the compiled code of a command between runs; older ones compile it each time.
import module from 'node:module';

module.enableCompileCache?.();
const { main } = await import('../dist/bundle/main.js');
process.exitCode = await main(process.argv.slice(2));
