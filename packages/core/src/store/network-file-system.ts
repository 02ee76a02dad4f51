import { statfsSync } from 'node:fs';
import { CairnError } from '../errors.js';

/** Magic numbers of statfs(2), from linux/magic.h and the file systems' own headers. */
const NETWORK_TYPES = new Map<number, string>([
  [0x6969, 'NFS'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB2'],
  [0x517b, 'SMB'],
  [0x01021997, '9p'],
  [0x65735546, 'FUSE'],
  [0x00c36400, 'Ceph'],
  [0x5346414f, 'AFS'],
  [0x73757245, 'Coda'],
  [0x0bd00bd0, 'Lustre'],
  [0x19830326, 'BeeGFS'],
]);

/**
 * LMDB shares memory and locks between processes, which these file systems do not keep coherent.
 * @throws CairnError `CAIRN_NETWORK_FILE_SYSTEM`
 */
export function refuseNetworkFileSystem(existingDir: string): void {
  // The numbers are Linux's; elsewhere `type` means something else.
  if (process.platform !== 'linux') return;
  const name = NETWORK_TYPES.get(Number(BigInt.asUintN(32, BigInt(statfsSync(existingDir).type))));
  if (name === undefined) return;
  throw new CairnError(
    'CAIRN_NETWORK_FILE_SYSTEM',
    `'${existingDir}' is on a ${name} file system, on which an index can be damaged silently`,
    {
      hint: 'put the store on a local disk, or pass allowNetworkFileSystem when only one machine ever uses it and you accept the risk',
    },
  );
}
