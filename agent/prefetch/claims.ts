// Who still wants a URL that is fetched ahead: it is given up when the last one no longer does. Without consent nobody is
// told apart: then all are one, and only a URL that seems to be wanted by a single viewer is given up early. Pure.

/** Everyone of whom nothing is kept. */
const ANYONE = '';

type Claim = {
  until: number;
  /** Segment whose request claimed it last. */
  from: number;
  /** Claimed from further back than before: by somebody else who is behind. */
  isShared: boolean;
};

/** What is claimed: of which title, as what, from where in it, and until when it is of use. */
export type Claimed = {
  readonly titleId: string;
  /** What is claimed anew as a whole: what follows on a video track, say. */
  readonly scope: string;
  readonly until: number;
  readonly from: number;
};

type Entry = { readonly titleId: string; readonly scope: string; readonly by: Map<string, Claim> };

/** Claims on URLs. Bounded: what was claimed first is forgotten first, and then ends by itself. */
export class Claims {
  readonly #max: number;
  readonly #entries = new Map<string, Entry>();
  readonly #urlsOf = new Map<string, Set<string>>();

  constructor(max: number) {
    this.#max = max;
  }

  /** Somebody wants a URL. `who`: a consented session; undefined: anyone. */
  claim(url: string, who: string | undefined, { titleId, scope, until, from }: Claimed): void {
    const name = who ?? ANYONE;
    const entry: Entry = this.#entries.get(url) ?? { titleId, scope, by: new Map() };
    const before = entry.by.get(name);
    const isShared = before !== undefined && (before.isShared || from <= before.from);
    entry.by.set(name, { until: Math.max(until, before?.until ?? 0), from, isShared });
    this.#entries.delete(url);
    this.#entries.set(url, entry);
    if (who !== undefined) this.#mine(who).add(url);
    const oldest = this.#entries.size > this.#max ? this.#entries.keys().next().value : undefined;
    if (oldest !== undefined) this.#forget(oldest);
  }

  /** A session no longer wants what `leaves` picks. Gives URLs that nobody wants any more. */
  release(
    who: string,
    now: number,
    leaves: (url: string, of: Pick<Claimed, 'titleId' | 'scope'>) => boolean,
  ): readonly string[] {
    const given: string[] = [];
    for (const url of this.#urlsOf.get(who) ?? []) {
      const entry = this.#entries.get(url);
      if (entry !== undefined && !leaves(url, entry)) continue;
      this.#urlsOf.get(who)?.delete(url);
      if (this.#drop(url, who, now)) given.push(url);
    }
    if (this.#urlsOf.get(who)?.size === 0) this.#urlsOf.delete(who);
    return given;
  }

  /** Sessions that claim something. */
  sessions(): Iterable<string> {
    return this.#urlsOf.keys();
  }

  /** One of those who are not told apart left a title. Gives URLs that it alone seems to have wanted. */
  releaseAnyone(titleId: string, now: number): readonly string[] {
    const given: string[] = [];
    for (const [url, entry] of this.#entries) {
      if (entry.titleId !== titleId || entry.by.get(ANYONE)?.isShared !== false) continue;
      if (this.#drop(url, ANYONE, now)) given.push(url);
    }
    return given;
  }

  /** It is there, or came to nothing: no one waits for it any more. */
  settle(url: string): void {
    this.#forget(url);
  }

  #mine(who: string): Set<string> {
    const known = this.#urlsOf.get(who) ?? new Set<string>();
    this.#urlsOf.set(who, known);
    return known;
  }

  /** True when nobody wants it now. */
  #drop(url: string, name: string, now: number): boolean {
    const entry = this.#entries.get(url);
    if (entry === undefined || !entry.by.delete(name)) return false;
    for (const [other, { until }] of entry.by) if (until <= now) entry.by.delete(other);
    if (entry.by.size > 0) return false;
    this.#entries.delete(url);
    return true;
  }

  #forget(url: string): void {
    for (const name of this.#entries.get(url)?.by.keys() ?? []) {
      const urls = this.#urlsOf.get(name);
      urls?.delete(url);
      if (urls?.size === 0) this.#urlsOf.delete(name);
    }
    this.#entries.delete(url);
  }
}
