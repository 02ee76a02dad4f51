import type { Operation } from './operation.js';

/**
 * Iterates as `for await` does, but ends with the operation's error as soon as the operation is called off, even while it
 * waits for the next item; whoever makes the items is then told, and not waited for.
 */
export async function* untilFailed<T>(operation: Operation, items: AsyncIterable<T> | Iterable<T>): AsyncGenerator<T, undefined> {
  if (!(Symbol.asyncIterator in items)) {
    for (const item of items) {
      operation.check();
      yield item;
    }
    return;
  }
  const source = items[Symbol.asyncIterator]();
  let ended = false;
  try {
    for (;;) {
      const next = await operation.orFailed(source.next());
      if (next.done === true) {
        ended = true;
        return;
      }
      yield next.value;
    }
  } finally {
    if (!ended) Promise.resolve(source.return?.()).catch(() => undefined);
  }
}
