// What decides on responses while the cache is open: rules of freshness and admission, replaced by a reload.
import { randomBytes } from 'node:crypto';
import type { Demand, Reloadable } from './contract.ts';
import { type Admission, createAdmission } from './rules/admission.ts';
import type { FreshnessRules } from './rules/freshness.ts';

/** A segment or playlist has a few queries at most: versions, languages. */
const DEFAULT_QUERIES_PER_PATH = 16;

/** What responses and objects are judged by now; a reload changes it. */
export class Judges {
  rules: FreshnessRules;
  admission: Admission | undefined;
  #queriesPerPath: number | null;

  constructor({ rules, queriesPerPath = DEFAULT_QUERIES_PER_PATH }: Reloadable) {
    this.rules = rules;
    this.admission = admissionOf(queriesPerPath);
    this.#queriesPerPath = queriesPerPath;
  }

  /** What fills judge by: always what counts now, and what is expected of a key; of one without a group nothing is known. */
  ofFills(demand: Demand | undefined) {
    const worth = (key: string): number | undefined => {
      const group = demand?.groupOf(key);
      return group === undefined ? undefined : demand?.scoreOf(group);
    };
    return { rules: () => this.rules, admission: () => this.admission, worth };
  }

  use({ rules, queriesPerPath = DEFAULT_QUERIES_PER_PATH }: Reloadable): void {
    this.rules = rules;
    // The same limit goes on with what it has counted.
    if (queriesPerPath !== this.#queriesPerPath) this.admission = admissionOf(queriesPerPath);
    this.#queriesPerPath = queriesPerPath;
  }
}

function admissionOf(queriesPerPath: number | null): Admission | undefined {
  const seed = randomBytes(4).readInt32LE();
  return queriesPerPath === null ? undefined : createAdmission({ queriesPerPath, seed });
}
