import { digestToHex } from '../hash/digest.js';
import type { GenerationRef, RefTable, VolumeId, VolumeState } from '../refs/ref-table.js';
import type { IndexReader } from './reader.js';
import type { VolumeRecord } from './records.js';

/** The table of all heads, histories, names and tags as the index has it: always what the journal adds up to. */
export function refTableOf(reader: IndexReader): RefTable {
  const volumes = new Map<VolumeId, VolumeState>(reader.volumes().map((volume) => [volume.id, volumeState(reader, volume)]));
  return { seq: reader.state().seq, volumes };
}

function volumeState(reader: IndexReader, volume: VolumeRecord): VolumeState {
  return {
    id: volume.id,
    name: volume.name ?? '',
    createdAtMs: volume.createdAtMs,
    ...(volume.ephemeralOwner === undefined ? {} : { ephemeralOwner: volume.ephemeralOwner }),
    generations: [...reader.generations(volume.id)].map(({ generation, snapshot }): GenerationRef => [generation, digestToHex(snapshot)]),
    tags: new Map(reader.tags(volume.id).map(({ name, snapshot }) => [name, digestToHex(snapshot)])),
  };
}
