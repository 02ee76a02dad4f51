import { openStore } from '@cairn/core';
import { createRegistry } from './registry.js';

const [dir, port = '8080'] = process.argv.slice(2);
if (dir === undefined) {
  console.error('usage: node dist/main.js STORE [PORT]');
  process.exit(2);
}

const store = await openStore(dir, { create: false });
const server = createRegistry(store).listen(Number(port), '127.0.0.1', () => {
  const address = server.address();
  console.log(`serving ${dir} on http://127.0.0.1:${typeof address === 'object' ? address?.port : port}`);
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    server.close(() => void store.close());
    server.closeAllConnections();
  });
}
