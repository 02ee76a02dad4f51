import { collectDamage, type Damage } from '../errors.js';

/** Damage found by a check, each object once. */
export class Findings {
  private readonly found = new Map<string, Damage>();

  get damage(): Damage[] {
    return [...this.found.values()];
  }

  get(kind: Damage['kind'], id: string): Damage | undefined {
    return this.found.get(`${kind} ${id}`);
  }

  add(...damage: Damage[]): void {
    for (const one of damage) {
      const key = `${one.kind} ${one.id}`;
      if (!this.found.has(key)) this.found.set(key, { ...one, affects: [...one.affects] });
    }
  }

  /** Runs a check; the damage that it throws is a finding, other errors are the caller's. */
  collect<T>(check: () => T): T | undefined {
    const found: Damage[] = [];
    const result = collectDamage(found, check);
    this.add(...found);
    return result;
  }
}
