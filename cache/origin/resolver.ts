// Names of origins to addresses: one question per name at a time, few at once, the last good
// answer kept while no new one comes.
import type { LookupFunction } from 'node:net';
import type { Log, LookupName } from '../contract.ts';
import {
  type Address,
  afterAddresses,
  afterNoAnswer,
  afterNoConnection,
  inTurn,
  isDue,
  type Known,
  UNKNOWN,
  usable,
} from '../rules/addresses.ts';
import { lookupNames } from './names.ts';

/**
 * Names asked for at once: a question to the system takes one of the four threads that disk reads also need, for as long
 * as the name servers are silent.
 */
const MAX_ASKING = 2;
/** How long a new connection waits for the first answer. */
const ANSWER_WITHIN_MS = 3_000;
/** The same where there is an older answer: name servers that are silent must not slow every connection. */
const NEWER_WITHIN_MS = 300;

/** What a resolver needs. */
export type ResolverTools = {
  readonly now: () => number;
  readonly log: Log;
  /** Absent: that of names.ts. */
  readonly lookup?: LookupName | undefined;
};

/** A question on its way. */
type Asked = { readonly done: Promise<void>; readonly sinceMs: number };

/** Waits for an answer until so long after it was asked for; whether it has not come by then. */
async function isLater({ done, sinceMs }: Asked, limitMs: number): Promise<boolean> {
  const late = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => late.resolve(true), Math.max(0, sinceMs + limitMs - performance.now()));
  try {
    return await Promise.race([done.then(() => false), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** A resolver for the origins of a cache. */
export class Resolver {
  readonly #now: () => number;
  readonly #log: Log;
  readonly #lookup: LookupName;
  readonly #known = new Map<string, Known>();
  readonly #asking = new Map<string, Asked>();
  readonly #queue: (() => void)[] = [];
  #running = 0;

  constructor({ now, log, lookup: given }: ResolverTools) {
    this.#now = now;
    this.#log = log;
    this.#lookup = given ?? lookupNames();
  }

  /** What is known of a name now; asks for it in the background when that is due. */
  watch(name: string): Known {
    const known = this.#known.get(name) ?? UNKNOWN;
    if (isDue(known, this.#now())) void this.#ask(name);
    return known;
  }

  /** A connection could not be made, perhaps since the name has moved. */
  doubt(name: string): void {
    const known = this.#known.get(name);
    if (known !== undefined) this.#known.set(name, afterNoConnection(known));
  }

  /** Addresses for a new connection. Rejects with ENOTFOUND, or with ETIMEOUT after 3 s, when no answer is good enough. */
  async addresses(name: string): Promise<readonly Address[]> {
    const find = () => usable(this.#known.get(name) ?? UNKNOWN, this.#now());
    const isDueNow = isDue(this.#known.get(name) ?? UNKNOWN, this.#now()) || this.#asking.has(name);
    const limitMs = find() === undefined ? ANSWER_WITHIN_MS : NEWER_WITHIN_MS;
    const isLate = isDueNow && (await isLater(this.#ask(name), limitMs));
    const found = find();
    if (found !== undefined) return found;
    const code = isLate ? 'ETIMEOUT' : 'ENOTFOUND';
    throw Object.assign(new Error(`The name ${name} cannot be resolved (${code}).`), { code });
  }

  /** Asks once for all who wait; never rejects. */
  #ask(name: string): Asked {
    const running = this.#asking.get(name);
    if (running !== undefined) return running;
    const done = this.#askNow(name).finally(() => this.#asking.delete(name));
    const asked = { done, sinceMs: performance.now() };
    this.#asking.set(name, asked);
    return asked;
  }

  async #askNow(name: string): Promise<void> {
    if (this.#running < MAX_ASKING) this.#running += 1;
    else await new Promise<void>((resolve) => this.#queue.push(resolve));
    const known = () => this.#known.get(name) ?? UNKNOWN;
    const { askedAt, answeredAt } = known();
    try {
      const answer = await this.#lookup(name);
      this.#known.set(name, afterAddresses(known(), answer, this.#now()));
    } catch (error) {
      this.#known.set(name, afterNoAnswer(known(), this.#now()));
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
      // Once until it is answered again.
      if (askedAt === answeredAt)
        this.#log('warn', 'origin.name-failed', { name, code, isKept: usable(known(), this.#now()) !== undefined });
    } finally {
      const next = this.#queue.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}

/** A look-up for node:net over `resolver`; `onUsed` hears of every address that it gave out. */
export function lookupOver(resolver: Resolver, onUsed: (address: string) => void): LookupFunction {
  let turn = 0;
  return (name, options, callback) => {
    resolver.addresses(name).then(
      (answer) => {
        const found = inTurn(answer, turn).map(({ address, family }) => ({ address, family }));
        turn += 1;
        for (const { address } of found) onUsed(address);
        const [first] = found;
        if (options.all === true) callback(null, found);
        else callback(null, first?.address ?? '', first?.family);
      },
      (error: NodeJS.ErrnoException) => callback(error, ''),
    );
  };
}
