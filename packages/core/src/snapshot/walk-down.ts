import type { NodeSource } from '../objects/node-store.js';
import { ObjectKind } from '../hash/object-kind.js';
import { type Reference, referencesOf } from './references.js';

/** Objects between two turns of the event loop. */
const OBJECTS_PER_TURN = 4096;

/** How a walk goes: what it goes into, and when it lets others have their turn. */
export interface Walk {
  /** Asked each time that an object is met; false: what lies below it is of no interest, or was seen. */
  enter: (reference: Reference) => boolean;
  /** What an object other than a chunk refers to. */
  below: (reference: Reference) => Reference[];
  /** Called every few thousand objects that were entered, however many walks they belong to. */
  pause: () => Promise<void>;
}

/** Goes through objects and all that they need, parents before children. Stateless but for its pace: `enter` remembers. */
export class ObjectWalker {
  private readonly walk: Walk;
  private entered = 0;

  constructor(walk: Walk) {
    this.walk = walk;
  }

  async from(start: Reference): Promise<void> {
    const waiting = [start];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      if (!this.walk.enter(next)) continue;
      if (next.kind !== ObjectKind.chunk) waiting.push(...this.walk.below(next));
      if (++this.entered % OBJECTS_PER_TURN === 0) await this.walk.pause();
    }
  }
}

/** `Walk.below` for published objects. @throws DamageError */
export function publishedBelow(nodes: NodeSource): Walk['below'] {
  return ({ kind, digest }) => referencesOf(kind, nodes.get(kind, digest));
}
