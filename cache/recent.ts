// What was learnt of keys a short while ago: bounded, the oldest goes first.

/** Keys that are remembered. */
const MAX_KEYS = 4096;

/** Notes on keys, each for a time. */
export class RecentKeys<Note> {
  readonly #notes = new Map<string, { readonly note: Note; readonly until: number }>();

  /** `until` and `nowMs` are of the same clock. */
  set(key: string, note: Note, until: number): void {
    this.#notes.delete(key);
    this.#notes.set(key, { note, until });
    const oldest = this.#notes.size > MAX_KEYS ? this.#notes.keys().next().value : undefined;
    if (oldest !== undefined) this.#notes.delete(oldest);
  }

  delete(key: string): void {
    this.#notes.delete(key);
  }

  get(key: string, nowMs: number): Note | undefined {
    const known = this.#notes.get(key);
    return known !== undefined && known.until > nowMs ? known.note : undefined;
  }
}
