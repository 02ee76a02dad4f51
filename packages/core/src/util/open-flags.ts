import { constants } from 'node:fs';

/** Of a file that is read, in a store or a user's folder: a pipe in its place must not keep whoever opens it waiting for ever. */
export const READ_FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);
