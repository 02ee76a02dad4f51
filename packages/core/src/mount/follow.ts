/**
 * Calls `reload` for every new head, one after another; heads that come while one is brought in are brought in together.
 * Ends when `heads` does. What a reload fails with goes to `failed`, and the next head is tried all the same.
 */
export async function followHeads(
  heads: AsyncIterable<unknown>,
  reload: () => Promise<unknown>,
  failed: (error: unknown) => void,
): Promise<void> {
  let waiting = false;
  let running: Promise<void> | undefined;
  const run = async (): Promise<void> => {
    while (waiting) {
      waiting = false;
      await reload().catch(failed);
    }
    running = undefined;
  };
  for await (const _head of heads) {
    waiting = true;
    running ??= run();
  }
  await running;
}
