// The objects at hand: heads of what is being served, written or held in RAM only, by key, bounded; the rest is in rows.
import { type Entry, Snapshot } from './entry.ts';
import type { StoredObject } from './object.ts';

/** Keys at hand beyond which the idle ones leave: some 2 KiB each. */
const MAX_KEYS = 16_384;
/** Keys that are looked at for each new one, when there are too many. */
const LOOKS = 4;

/** All stored variants of a key. */
type Group = {
  readonly key: string;
  readonly entries: Entry[];
  /** What find() gives: one snapshot per entry, replaced with the array when one of them changes. */
  objects: readonly StoredObject[];
  /** Looked up since it was last passed over. */
  isUsed: boolean;
};

/** What the objects at hand ask of the store. */
export type HotEvents = {
  readonly isInRam: (entry: Entry) => boolean;
  /** It is not at hand any more; its row has it. */
  readonly onCooled: (entry: Entry) => void;
};

/** Objects at hand. A key is here with all of its variants, or not at all. */
export class Hot {
  readonly #groups = new Map<string, Group>();
  readonly #snapshots = new WeakMap<Entry, Snapshot>();
  readonly #events: HotEvents;
  /** Entries that are in no row yet, or in RAM only. */
  readonly loose = new Set<Entry>();

  constructor(events: HotEvents) {
    this.#events = events;
  }

  /** What is known of a key; undefined when nothing is at hand. Costs no memory. */
  find(key: string): readonly StoredObject[] | undefined {
    const group = this.#groups.get(key);
    if (group === undefined) return undefined;
    group.isUsed = true;
    return group.objects;
  }

  /** Entries of a key. */
  entries(key: string): readonly Entry[] {
    return this.#groups.get(key)?.entries ?? [];
  }

  /** Every key that is at hand. */
  keys(): readonly string[] {
    return [...this.#groups.keys()];
  }

  /** Takes an entry to the others of its key, which are all here. */
  add(entry: Entry): void {
    let group = this.#groups.get(entry.key);
    if (group === undefined) {
      group = { key: entry.key, entries: [], objects: [], isUsed: false };
      this.#groups.set(entry.key, group);
    }
    entry.isHot = true;
    if (entry.row !== 'committed') this.loose.add(entry);
    group.entries.push(entry);
    this.#show(group);
    if (this.#groups.size > MAX_KEYS) this.#cool();
  }

  /** Shows an entry's new head. */
  changed(entry: Entry): void {
    const group = this.#groups.get(entry.key);
    this.#snapshots.delete(entry);
    if (group?.entries.includes(entry) === true) this.#show(group);
  }

  /** The object of an entry. */
  snapshot(entry: Entry): StoredObject {
    const known = this.#snapshots.get(entry);
    if (known !== undefined) return known;
    const snapshot = new Snapshot(entry, this.#events.isInRam);
    this.#snapshots.set(entry, snapshot);
    return snapshot;
  }

  #show(group: Group): void {
    group.objects = Object.freeze(group.entries.map((entry) => this.snapshot(entry)));
  }

  /** Takes out one entry, which has left the store. */
  remove(entry: Entry): void {
    const group = this.#groups.get(entry.key);
    const at = group?.entries.indexOf(entry) ?? -1;
    this.loose.delete(entry);
    entry.isHot = false;
    if (group === undefined || at < 0) return;
    group.entries.splice(at, 1);
    if (group.entries.length === 0) this.#groups.delete(entry.key);
    else this.#show(group);
  }

  /** Second chance: who was looked up since it was last passed over, or is busy, goes to the end of the line. */
  #cool(): void {
    let looks = 0;
    for (const [key, group] of this.#groups) {
      if (looks === LOOKS || this.#groups.size <= MAX_KEYS) return;
      looks += 1;
      this.#groups.delete(key);
      if (group.isUsed || !group.entries.every((entry) => this.#isIdle(entry))) {
        group.isUsed = false;
        this.#groups.set(key, group);
        continue;
      }
      for (const entry of group.entries) {
        entry.isHot = false;
        this.#events.onCooled(entry);
      }
    }
  }

  #isIdle(entry: Entry): boolean {
    return entry.row === 'committed' && entry.waiting === 0 && entry.held === undefined && !this.#events.isInRam(entry);
  }
}
