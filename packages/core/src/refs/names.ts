const NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/;

/** Whether a text may be the name of a volume or a tag, wherever it comes from. */
export function isName(text: unknown): text is string {
  return typeof text === 'string' && NAME.test(text);
}
