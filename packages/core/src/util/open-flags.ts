import { constants } from 'node:fs';

/** Of a file in a store: a pipe that a stranger put in its place must not keep whoever opens it waiting for ever. */
export const READ_FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);
