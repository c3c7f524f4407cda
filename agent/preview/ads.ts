// Ad slots: JSON in, one spliced promo of the slot's length out, chosen by the same chooser as previews and paced by
// promos.ts. What a viewer was shown is in memory for those who consented, and for all others in a signed note that the
// client holds and gives back.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { remember } from '../remember.ts';
import { readSnapshot } from '../snapshot.ts';
import { openBudget } from './budget.ts';
import type { Choice, Chooser, OfferedArm } from './choice.ts';
import type { Decider } from './decide.ts';
import { type Features, vectorOf } from './descriptor.ts';
import { type Films, planFilm } from './films.ts';
import { SPOILER_RATIO } from './moments.ts';
import type { Published, RenditionHint, Span } from './playlist.ts';
import {
  eligiblePromos,
  fillSlot,
  type Promo,
  type PromoLimits,
  type Seen,
  type Spent,
  spend,
  type Unfilled,
} from './promos.ts';

/** A slot to fill. `note` is the signed note of the answer before, from the client. */
export type SlotRequest = {
  readonly seconds: number;
  readonly sid?: string | undefined;
  readonly note?: string | undefined;
  readonly hint: RenditionHint;
  readonly signal: AbortSignal;
};

/** The promo, or why there is none. */
export type SlotReply =
  | {
      readonly outcome: 'filled';
      readonly promo: string;
      readonly titleId: string;
      readonly bytes: Buffer;
      readonly codecs: string;
      readonly seconds: number;
      readonly token: string;
      readonly note: string;
    }
  | { readonly outcome: Unfilled };

/** What openAds() needs. */
export type AdsOptions = {
  readonly promos: () => readonly Promo[];
  readonly limits: PromoLimits;
  /** Whether this session's viewer consented, so that something may be remembered of them. */
  readonly mayRemember: (sid: string) => boolean;
  readonly decider: Decider;
  readonly bandit: Chooser;
  readonly films: Films;
  readonly secret: Uint8Array;
  readonly deadlineMs: number;
  /** Counts as they were saved; undefined: none. */
  readonly spent?: string | undefined;
  readonly now: () => number;
};

/** An open room of slots. */
export type Ads = {
  readonly fill: (request: SlotRequest) => Promise<SlotReply>;
  /** Forgets what was seen long ago. */
  readonly sweep: () => void;
  /** What was spent today, to be given to the next openAds(). */
  readonly snapshot: () => string;
  readonly stats: () => Readonly<Record<'filled' | Unfilled, number>>;
};

const DAY_MS = 86_400_000;
/** Showings that a note or a session holds. */
const MOST_SEEN = 32;
const MOST_SESSIONS = 10_000;
const MAX_NOTE_CHARS = 4096;
/** Promos and arms that one slot chooses among. */
const MOST_PROMOS = 16;
const MOST_ARMS = 48;
const VERSION = 1;

type Filling = {
  readonly promo: Promo;
  readonly published: Published;
  readonly spans: readonly Span[];
  readonly arm: OfferedArm;
};

type Room = Omit<AdsOptions, 'spent'> & { readonly remembered: Map<string, Seen>; spent: Spent };

/** Opens the slots. */
export function openAds(options: AdsOptions): Ads {
  const { now } = options;
  const counts = { filled: 0, 'no-promo': 0, capped: 0, repeat: 0, budget: 0, 'too-short': 0, holdout: 0, failed: 0 };
  const remembered = new Map<string, Seen>();
  const spending: Room = { ...options, remembered, spent: readSpent(options.spent) };
  return {
    async fill(request) {
      const reply = await fill(spending, request);
      counts[reply.outcome] += 1;
      return reply;
    },
    sweep() {
      for (const [sid, seen] of remembered)
        if (!options.mayRemember(sid) || now() - (seen.at(-1)?.at ?? 0) > DAY_MS) remembered.delete(sid);
    },
    snapshot: () => JSON.stringify({ version: VERSION, day: spending.spent.day, shown: [...spending.spent.shown] }),
    stats: () => ({ ...counts }),
  };
}

async function fill(room: Room, request: SlotRequest): Promise<SlotReply> {
  const { decider, films, limits, remembered, now } = room;
  const { sid, hint } = request;
  const known = sid !== undefined && room.mayRemember(sid) ? sid : undefined;
  const seen = [
    ...readNote(room.secret, request.note, now()),
    ...(known === undefined ? [] : (remembered.get(known) ?? [])),
  ].toSorted((a, b) => a.at - b.at);
  const eligible = eligiblePromos(room.promos(), { seen, spent: room.spent, limits, now: now() });
  if (typeof eligible === 'string') return { outcome: eligible };
  const fillings = await listFillings(room, eligible, request);
  if (fillings.length === 0) return { outcome: 'too-short' };
  const taste = known === undefined ? undefined : (await decider.tasteOf(known).catch(() => undefined))?.features;
  const choice = choose(room, fillings, { sid: known, taste });
  if (choice?.isHeldOut === true) {
    room.bandit.shown(choice);
    return { outcome: 'holdout' };
  }
  const filling = choice === undefined ? undefined : fillings[choice.index];
  if (choice === undefined || filling === undefined) return { outcome: 'failed' };
  const { promo, published, spans } = filling;
  const plan = planFilm(published, spans, { ...hint, hasSound: true });
  const film = plan && (await films.film(plan, openBudget(room.deadlineMs, request.signal)));
  if (plan === undefined || film === undefined || film === 'busy') return { outcome: 'failed' };
  const shown = { promo: promo.id, at: now() };
  room.spent = spend(room.spent, promo.id, now());
  if (known !== undefined) rememberSeen(remembered, known, shown);
  return {
    ...{ outcome: 'filled', promo: promo.id, titleId: promo.titleId, bytes: film.bytes, seconds: film.seconds },
    codecs: plan.codecs,
    token: room.bandit.shown(choice),
    note: writeNote(room.secret, known === undefined ? [...seen, shown] : []),
  };
}

/** The cuts of each promo's title that fill the slot. */
async function listFillings(
  { decider, deadlineMs }: Room,
  promos: readonly Promo[],
  { seconds, signal }: SlotRequest,
): Promise<readonly Filling[]> {
  const budget = openBudget(deadlineMs, signal);
  const found = await Promise.all(
    promos.slice(0, MOST_PROMOS).map(async (promo): Promise<readonly Filling[]> => {
      const known = await decider.cutsOf(promo.titleId, budget);
      if (known === undefined) return [];
      const { published, cuts } = known;
      const endSeconds = published.title.durationSeconds * (1 - SPOILER_RATIO);
      return cuts.flatMap(({ arm, moments, features }) => {
        const spans = fillSlot(published.title, moments, { seconds, endSeconds });
        const offered = { id: `${promo.id}/${arm}`, features: vectorOf(features) };
        return spans === undefined ? [] : [{ promo, published, spans, arm: offered }];
      });
    }),
  );
  return found.flat().slice(0, MOST_ARMS);
}

function choose(
  { bandit }: Room,
  fillings: readonly Filling[],
  { sid, taste }: { readonly sid: string | undefined; readonly taste: Features | undefined },
): Choice | undefined {
  try {
    return bandit.choose({
      ...{ slot: 'ad', titleId: '', arms: fillings.map(({ arm }) => arm) },
      ...(sid === undefined ? {} : { sid }),
      ...(taste === undefined ? {} : { context: vectorOf(taste) }),
    });
  } catch {
    return undefined; // Counted as failed.
  }
}

function rememberSeen(remembered: Map<string, Seen>, sid: string, shown: Seen[number]): void {
  remember(remembered, sid, [...(remembered.get(sid) ?? []), shown].slice(-MOST_SEEN), MOST_SESSIONS);
}

const sign = (secret: Uint8Array, payload: string) => createHmac('sha256', secret).update(`seen ${payload}`).digest();

/** What was shown, for the client to hold; nothing about a viewer is in it. */
function writeNote(secret: Uint8Array, seen: Seen): string {
  const list = seen.slice(-MOST_SEEN).map(({ promo, at }) => [promo, at]);
  const payload = Buffer.from(JSON.stringify([VERSION, list])).toString('base64url');
  return `${payload}.${sign(secret, payload).toString('base64url')}`;
}

/** A note that is not ours, or a day old, is as none: who withholds theirs sees the same promo again, and nobody else's. */
function readNote(secret: Uint8Array, note: string | undefined, now: number): Seen {
  const [payload, signature, rest] = note === undefined || note.length > MAX_NOTE_CHARS ? [] : note.split('.');
  if (payload === undefined || signature === undefined || rest !== undefined) return [];
  const given = Buffer.from(signature, 'base64url');
  const expected = sign(secret, payload);
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return [];
  // Sound: only this file signs, and of version 1 it signs this shape.
  const [version, list] = JSON.parse(Buffer.from(payload, 'base64url').toString()) as [number, [string, number][]];
  if (version !== VERSION) return [];
  return list.map(([promo, at]) => ({ promo, at })).filter(({ at }) => now - at < DAY_MS);
}

/** Counts that cannot be read begin anew: a promo may then be shown more often on one day. */
function readSpent(text: string | undefined): Spent {
  const { day = 0, shown = [] } = readSnapshot(text, VERSION) ?? {};
  const isDay = typeof day === 'number' && Number.isInteger(day);
  if (!isDay || !Array.isArray(shown)) return { day: 0, shown: new Map() };
  const rows: readonly unknown[] = shown;
  const isRow = (row: unknown): row is [string, number] =>
    Array.isArray(row) && typeof row[0] === 'string' && Number.isFinite(row[1]);
  return { day, shown: new Map(rows.filter(isRow)) };
}
