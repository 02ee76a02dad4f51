import { asDigest, type Digest } from '../../packages/core/src/hash/digest.js';
import type { VolumeId } from '../../packages/core/src/index/records.js';
import type { MountId } from '../../packages/core/src/mount/places.js';
import type { MountState } from '../../packages/core/src/mount/state.js';

/** A digest of one byte again and again. */
export const root = (fill: number): Digest => asDigest(new Uint8Array(32).fill(fill));

export const ID = '00112233445566778899aabbccddeeff' as MountId;

/** A mount on its way to another version, while a commit of it is on its way, with something in every field. */
export const STATE: MountState = {
  id: ID,
  volume: 'ffeeddccbbaa99887766554433221100' as VolumeId,
  dir: '/data/ü',
  device: '65024',
  inode: '18446744073709551615',
  bootId: 'a boot',
  subPath: 'models/llama',
  readOnly: true,
  ignore: ['*.log'],
  ownCommits: 2,
  seen: root(1),
  base: { generation: 7, snapshot: root(2) },
  target: { generation: 9, snapshot: root(3), root: null },
  pending: { generation: 8, root: root(4) },
};
