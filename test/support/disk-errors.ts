/** How a call of the faulty disk goes wrong, the code that whoever asked is told, and the first of the calls that a short run takes. */
export const DISK_ERRORS = [
  ['ENOSPC', 'ENOSPC', 1],
  ['EIO', 'EIO', 2],
  ['EMFILE', 'EMFILE', 3],
  ['short', 'ENOSPC', 4],
] as const;
