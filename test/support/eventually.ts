/** What `look` gives as soon as that is something: asked again and again, for twenty seconds. */
export async function eventually<T>(look: () => Promise<T | false | undefined> | T | false | undefined): Promise<T> {
  for (const end = Date.now() + 20_000; Date.now() < end;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('it never came to be so');
}
