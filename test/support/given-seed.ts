/* Before each test file: a seed that is given is that of properties, too. Without one they choose theirs, and say it when they fail. */
const given = process.env['CAIRN_TEST_SEED'];
if (given !== undefined) {
  const { default: fc } = await import('fast-check');
  fc.configureGlobal({ seed: Number(given) });
}
