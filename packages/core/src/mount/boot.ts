import { thisProcess } from '../publish/process-identity.js';

let known: string | undefined;

/** Identity of the machine's current boot; empty where the system does not tell. */
export function bootId(): string {
  return (known ??= thisProcess().bootId);
}
