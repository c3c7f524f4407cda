// Answers one request for a preview: package and taste are asked at once, each races the one deadline, and the best answer
// so far is given: chosen by taste, then by what all viewers did, then the default cut.
import { HISTOGRAM_SECONDS, type Histogram } from '../../cache/cache.ts';
import type { Title } from '../../encoder/contract.ts';
import type { Choice, Chooser } from './choice.ts';
import { type Cut, chooseMoments, type Features, meanFeatures } from './moments.ts';
import { type Published, previewPlaylist, type Timeline, timelinePlaylist } from './playlist.ts';

/** Who made a choice; `none`: there was no preview to give. */
export const ANSWERS = ['personal', 'cohort', 'default', 'none'] as const;
export type Answer = (typeof ANSWERS)[number];

/** What there is to make a preview from; `pending`: known, but not encoded yet. */
export type PackageState =
  | ({ readonly state: 'ready' } & Published)
  | { readonly state: 'foreign'; readonly timeline: Timeline }
  | { readonly state: 'pending' };

/** What a viewer who consented has watched, newest first, each 0..1 of its length, and how fast the line is. */
export type ViewerHistory = {
  readonly watched: readonly { readonly titleId: string; readonly watchedRatio: number }[];
  readonly throughputBps?: number | undefined;
};

/** Why the answer was no better; `chosen`: nothing was missing. */
export const REASONS = [
  'chosen',
  'no-history',
  'session-late',
  'session-failed',
  'one-cut',
  'foreign',
  'held-out',
  'unknown',
  'pending',
  'no-segments',
  'package-late',
  'package-failed',
] as const;
export type Reason = (typeof REASONS)[number];

/** Everything openPreview() needs. */
export type PreviewOptions = {
  /** The same object for the same package each time: its cuts are remembered by identity. Undefined: unknown title. */
  readonly packageOf: (titleId: string) => Promise<PackageState | undefined> | PackageState | undefined;
  /** Undefined without consent or history: then nothing is personal. */
  readonly sessionOf: (sid: string) => Promise<ViewerHistory | undefined> | ViewerHistory | undefined;
  readonly bandit: Chooser;
  readonly deadlineMs: number;
};

/** A request for the preview of a title. `heightPixels` is how tall it will be shown, in device pixels. */
export type PreviewRequest = {
  readonly titleId: string;
  readonly sid?: string | undefined;
  readonly heightPixels?: number | undefined;
  readonly signal: AbortSignal;
};

/** What to send. `body` is a playlist when status is 200, else one line of text. */
export type PreviewReply = {
  readonly status: 200 | 404 | 409 | 503;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly answer: Answer;
  readonly reason: Reason;
};

/** Plain counters since start. */
export type PreviewStats = {
  readonly answers: Readonly<Record<Answer, number>>;
  readonly reasons: Readonly<Record<Reason, number>>;
  readonly durationSeconds: Histogram;
};

/** An open preview conductor. */
export type Preview = {
  /** Never rejects; answers within the deadline. */
  readonly answer: (request: PreviewRequest) => Promise<PreviewReply>;
  /** Derives a title's cuts ahead, so that its first viewer does not wait for that; worth it once a package is read. */
  readonly prepare: (title: Title) => void;
  readonly stats: () => PreviewStats;
};

/** Watched titles that make a taste. */
const MOST_WATCHED = 8;

/** Opens the conductor. */
export function openPreview(options: PreviewOptions): Preview {
  const remembered = new WeakMap<Title, Profile>();
  const counts = openCounts();
  const room: Room = {
    options,
    profileOf(title) {
      const profile = remembered.get(title) ?? readProfile(title);
      remembered.set(title, profile);
      return profile;
    },
  };
  return {
    async answer(request) {
      const startedAt = performance.now();
      const late = AbortSignal.any([request.signal, AbortSignal.timeout(options.deadlineMs)]);
      const reply = await conduct(room, request, late);
      counts.observe(reply, (performance.now() - startedAt) / 1000);
      return reply;
    },
    prepare: (title) => void room.profileOf(title),
    stats: counts.read,
  };
}

type Room = {
  readonly options: PreviewOptions;
  readonly profileOf: (title: Title) => Profile;
};
/** What is derived from a title once: its cuts and the mean of all its shots. */
type Profile = { readonly cuts: ReturnType<typeof chooseMoments>; readonly features: Features | undefined };
type Taste = {
  readonly features: Features | undefined;
  readonly throughputBps: number | undefined;
};
type Picked = {
  readonly answer: Answer;
  readonly cut: Cut;
  /** Undefined where there was nothing to choose. */
  readonly choice?: Choice;
  readonly throughputBps: number | undefined;
  readonly reason: Reason;
};

async function conduct(room: Room, request: PreviewRequest, late: AbortSignal): Promise<PreviewReply> {
  const { options } = room;
  const { titleId, sid } = request;
  const asked = attempt(() => (sid === undefined ? undefined : readTaste(room, sid)));
  const found = await within(
    attempt(() => options.packageOf(titleId)),
    late,
  );
  if (found.ended !== 'value') return refuse(503, `package-${found.ended}`);
  if (found.value === undefined) return refuse(404, 'unknown');
  if (found.value.state === 'pending') return refuse(409, 'pending');
  if (found.value.state === 'foreign') {
    const body = timelinePlaylist(found.value.timeline);
    return body === undefined ? refuse(409, 'no-segments') : serve(body, { answer: 'default', reason: 'foreign' });
  }
  const { title, baseUrl } = found.value;
  const picked = await pickCut(room, { title, titleId, sid }, asked, late);
  if (picked.choice?.isHeldOut === true) {
    options.bandit.shown(picked.choice);
    return refuse(409, 'held-out');
  }
  const { heightPixels } = request;
  const hint = { heightPixels, throughputBps: picked.throughputBps };
  const body = previewPlaylist({ title, baseUrl }, picked.cut.moments, hint);
  if (body === undefined) return refuse(409, 'no-segments');
  const token = picked.choice === undefined ? undefined : options.bandit.shown(picked.choice);
  return serve(body, picked, token);
}

type Question = { readonly title: Title; readonly titleId: string; readonly sid: string | undefined };

/** Picks a cut of a published title with what arrives in time. */
async function pickCut(
  room: Room,
  { title, titleId, sid }: Question,
  asked: Promise<Taste | undefined>,
  late: AbortSignal,
): Promise<Picked> {
  const { cuts } = room.profileOf(title);
  const [standard] = cuts;
  const taste = await within(asked, late);
  const liked = taste.ended === 'value' ? taste.value : undefined;
  const throughputBps = liked?.throughputBps;
  if (cuts.length === 1) return { cut: standard, throughputBps, answer: 'default', reason: 'one-cut' };
  const features = liked?.features;
  const choice = room.options.bandit.choose({
    slot: 'preview',
    titleId,
    arms: cuts.map((cut) => ({ id: cut.arm, features: numbersOf(cut.features) })),
    ...(features === undefined ? {} : { context: numbersOf(features) }),
    ...(liked === undefined || sid === undefined ? {} : { sid }),
  });
  return {
    cut: cuts[choice.index] ?? standard,
    choice,
    throughputBps,
    answer: features === undefined ? 'cohort' : 'personal',
    reason: taste.ended !== 'value' ? `session-${taste.ended}` : features === undefined ? 'no-history' : 'chosen',
  };
}

const numbersOf = ({ spatial, temporal, luma, saturation, loudness }: Features): Float64Array =>
  Float64Array.of(spatial, temporal, luma, saturation, loudness);

/** Mean of what a viewer watched, each title weighted by how much of it was watched. */
async function readTaste(room: Room, sid: string): Promise<Taste | undefined> {
  const { sessionOf, packageOf } = room.options;
  const history = await sessionOf(sid);
  if (history === undefined) return undefined;
  const watched = history.watched.filter((one) => one.watchedRatio > 0).slice(0, MOST_WATCHED);
  const states = await Promise.all(watched.map(({ titleId }) => packageOf(titleId)));
  const titles = states.flatMap((known, index) => {
    const features = known?.state === 'ready' ? room.profileOf(known.title).features : undefined;
    return features === undefined ? [] : [{ features, weight: Math.min(1, watched[index]?.watchedRatio ?? 0) }];
  });
  return { features: meanFeatures(titles), throughputBps: history.throughputBps };
}

function readProfile(title: Title): Profile {
  const shots = title.shots.map(({ features, durationSeconds }) => ({ features, weight: durationSeconds }));
  return { cuts: chooseMoments(title), features: meanFeatures(shots) };
}

function serve(body: string, how: { readonly answer: Answer; readonly reason: Reason }, token?: string): PreviewReply {
  const headers = {
    'content-type': 'application/vnd.apple.mpegurl',
    'cache-control': 'private, no-store',
    ...(token === undefined ? {} : { 'nearcast-arm': token }),
  };
  return { status: 200, headers, body, answer: how.answer, reason: how.reason };
}

const REFUSALS = {
  404: 'There is no title of this name.\n',
  409: 'This title has no preview yet.\n',
  503: 'The preview was not ready in time; show the poster.\n',
} as const;

function refuse(status: keyof typeof REFUSALS, reason: Reason): PreviewReply {
  const headers = { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'private, no-store' };
  return { status, headers, body: REFUSALS[status], answer: 'none', reason };
}

/** Starts work so that neither a throw nor a rejection that nobody awaits any more escapes. */
function attempt<T>(work: () => Promise<T> | T): Promise<T> {
  const started = (async () => work())();
  started.catch(() => undefined); // Read by within(), or no longer wanted.
  return started;
}

type Ended<T> = { readonly ended: 'value'; readonly value: T } | { readonly ended: 'late' | 'failed' };

/** How work ended before the deadline; what is there already counts even when the deadline is over. */
async function within<T>(work: Promise<T>, late: AbortSignal): Promise<Ended<T>> {
  const { promise, resolve } = Promise.withResolvers<Ended<T>>();
  const onLate = () => resolve({ ended: 'late' });
  const settled: Promise<Ended<T>> = work.then(
    (value) => ({ ended: 'value', value }),
    () => ({ ended: 'failed' }),
  );
  if (late.aborted) setImmediate(onLate);
  else late.addEventListener('abort', onLate, { once: true });
  const ended = await Promise.race([settled, promise]);
  late.removeEventListener('abort', onLate);
  return ended;
}

function openCounts() {
  const answers: Record<Answer, number> = { personal: 0, cohort: 0, default: 0, none: 0 };
  const reasons = new Map<Reason, number>();
  const histogram = HISTOGRAM_SECONDS.map(() => 0);
  let total = 0;
  let sum = 0;
  return {
    observe(reply: PreviewReply, seconds: number): void {
      answers[reply.answer] += 1;
      reasons.set(reply.reason, (reasons.get(reply.reason) ?? 0) + 1);
      for (const [index, bound] of HISTOGRAM_SECONDS.entries())
        if (seconds <= bound) histogram[index] = (histogram[index] ?? 0) + 1;
      total += 1;
      sum += seconds;
    },
    read(): PreviewStats {
      return {
        answers: { ...answers },
        reasons: countReasons(reasons),
        durationSeconds: { counts: [...histogram, total], sum },
      };
    },
  };
}

function countReasons(seen: ReadonlyMap<Reason, number>): Record<Reason, number> {
  const entries = REASONS.map((reason) => [reason, seen.get(reason) ?? 0] as const);
  // Sound: the entries are one for each member of REASONS, from which Reason is derived.
  return Object.fromEntries(entries) as Record<Reason, number>;
}
