// Answers for previews: a playlist of segments that exist, the same as one spliced file, and its captions. Each within
// its deadline; what is not there by then is gone on without.
import { type Ahead, type AheadStats, type ExpectedObject, openAhead } from './ahead.ts';
import { type ArtworkChoice, chooseArtwork, type ImagesOf, openVariants, pictureFor, srcsetOf } from './artwork.ts';
import { attempt, type Budget, openBudget } from './budget.ts';
import { captionedPlaylist, hintQuery, textPlaylist, textSegment } from './captioned.ts';
import { moveCaptions } from './captions.ts';
import type { Choice } from './choice.ts';
import { type Counted, type Counts, createCounts, type Kind } from './counts.ts';
import {
  type Answer,
  type Decided,
  type DecideOptions,
  type Decider,
  type Decision,
  openDecider,
  type Reason,
} from './decide.ts';
import { type FilmStats, type Films, openFilms, placesOf, planFilm, type ReadBytes } from './films.ts';
import { previewPlaylist, type RenditionHint, timelinePlaylist } from './playlist.ts';

/** Everything openPreview() needs. */
export type PreviewOptions = DecideOptions & {
  /** Reads through the cache. */
  readonly read: ReadBytes;
  /** Of a playlist, and of a file, whose segments have to be read. */
  readonly deadlineMs: number;
  readonly fileDeadlineMs: number;
  /** Pictures of titles that the publisher's catalogue names. */
  readonly imagesOf: ImagesOf;
  readonly now: () => number;
};

/** A request for the preview of a title. */
export type PreviewRequest = {
  readonly titleId: string;
  readonly sid?: string | undefined;
  readonly hint?: RenditionHint | undefined;
  /** Names the cut, instead of having it chosen: then the answer is the same for everybody. */
  readonly arm?: string | undefined;
  /** Files: with sound. */
  readonly hasSound?: boolean | undefined;
  /** Playlists: one that names the pictures and a group of captions. */
  readonly hasCaptions?: boolean | undefined;
  /** Captions: BCP 47; absent: the first track's. */
  readonly language?: string | undefined;
  /** Captions by their track; as a playlist, or, with `run`, as a segment of it. */
  readonly text?: string | undefined;
  readonly run?: number | undefined;
  readonly signal: AbortSignal;
};

/** What to send. `body` is a playlist, a file or captions when status is 200, else one line of text. */
export type PreviewReply = {
  readonly status: 200 | 404 | 409 | 503;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Buffer;
  readonly answer: Answer;
  readonly reason: Reason;
};

/** Plain counters since start. */
export type PreviewStats = Counted & { readonly films: FilmStats; readonly ahead: AheadStats };

/** An open preview conductor. What it answers with never rejects. */
export type Preview = {
  /** A media playlist of segments that exist. */
  readonly answer: (request: PreviewRequest) => Promise<PreviewReply>;
  /** The same as one fragmented MP4. */
  readonly film: (request: PreviewRequest) => Promise<PreviewReply>;
  /** WebVTT for a cut that `arm` names, in its time. */
  readonly captions: (request: PreviewRequest) => Promise<PreviewReply>;
  /** Which picture stands for a title, as JSON; `width` in device pixels, that of `src`. */
  readonly artwork: (request: PreviewRequest & { readonly width?: number | undefined }) => Promise<PreviewReply>;
  /** Decides ahead; gives the objects with which those previews begin. */
  readonly expect: (asked: {
    readonly titleIds: readonly string[];
    readonly sid?: string | undefined;
  }) => Promise<readonly ExpectedObject[]>;
  readonly stats: () => PreviewStats;
  /** What ad slots share with previews. */
  readonly decider: Decider;
  readonly films: Films;
};

const MAX_CAPTION_BYTES = 4 * 1024 * 1024;
const PRIVATE = 'private, no-store';
/** A cut that is named is the same for everybody, until the title is published anew. */
const SHARED = 'public, max-age=60';

type Room = {
  readonly options: PreviewOptions;
  readonly counts: Counts;
  readonly decider: Decider;
  readonly ahead: Ahead;
  readonly films: Films;
};
/** What a way to answer is given: a decision that has something to show. */
type Showing = {
  readonly decision: Exclude<Decision, { kind: 'none' }>;
  readonly request: PreviewRequest;
  readonly budget: Budget;
};
type Written =
  | { readonly body: string | Buffer; readonly type: string; readonly headers?: Readonly<Record<string, string>> }
  | { readonly status: 404 | 409 | 503; readonly reason: Reason };
type Way = { readonly kind: Kind; readonly write: (room: Room, showing: Showing) => Promise<Written> | Written };

const PLAYLIST: Way = { kind: 'playlist', write: writePlaylist };
const FILE: Way = { kind: 'file', write: writeFile };
const CAPTIONS: Way = { kind: 'captions', write: writeCaptions };

/** Opens the conductor. */
export function openPreview(options: PreviewOptions): Preview {
  const counts = createCounts();
  const decider = openDecider(options, counts.late);
  const ahead = openAhead({ decider, now: options.now });
  const films = openFilms({ read: options.read });
  const room: Room = { options, counts, decider, ahead, films };
  const pictures = { decider, bandit: options.bandit, imagesOf: options.imagesOf, variantsOf: openVariants() };
  return {
    answer: (request) => conduct(room, PLAYLIST, request),
    film: (request) => conduct(room, FILE, request),
    captions: (request) => conduct(room, CAPTIONS, { ...request, arm: request.arm ?? '' }),
    async artwork({ titleId, sid, width, signal }) {
      const startedAt = performance.now();
      const chosen = await chooseArtwork(pictures, { titleId, sid }, openBudget(options.deadlineMs, signal));
      const reply =
        'status' in chosen ? refuse(chosen.status, chosen.reason) : showPicture(room, chosen, { titleId, width });
      counts.answered('artwork', reply, (performance.now() - startedAt) / 1000);
      return reply;
    },
    expect: ahead.expect,
    decider,
    films,
    stats: () => ({ ...counts.read(), films: films.stats(), ahead: ahead.stats() }),
  };
}

async function conduct(room: Room, way: Way, request: PreviewRequest): Promise<PreviewReply> {
  const startedAt = performance.now();
  const { deadlineMs, fileDeadlineMs } = room.options;
  const budget = openBudget(way.kind === 'playlist' ? deadlineMs : fileDeadlineMs, request.signal);
  const { titleId, sid, arm } = request;
  const before = arm === undefined ? room.ahead.take(titleId, sid) : undefined;
  const decision = before ?? (await room.decider.decide({ titleId, sid, arm }, budget));
  if (arm === undefined) room.ahead.seen(request.hint ?? {});
  if (decision.kind === 'none') tokenOf(room, decision.choice);
  const reply =
    decision.kind === 'none'
      ? refuse(decision.status, decision.reason)
      : show(room, decision, await way.write(room, { decision, request, budget }));
  room.counts.answered(way.kind, reply, (performance.now() - startedAt) / 1000);
  return reply;
}

function show(room: Room, decision: Showing['decision'], written: Written): PreviewReply {
  if ('status' in written) return refuse(written.status, written.reason);
  const { body, type, headers } = written;
  const decided = decision.kind === 'cut' ? decision : undefined;
  const answer = decided?.answer ?? 'default';
  const reason = decided?.reason ?? 'foreign';
  const cacheControl = reason === 'asked' ? SHARED : PRIVATE;
  const told = decided === undefined ? {} : tell(room, decided);
  return {
    ...{ status: 200, body, answer, reason },
    headers: { 'content-type': type, 'cache-control': cacheControl, ...told, ...headers },
  };
}

/** The token of a choice that goes out now; without one where it cannot be had: the preview is worth more than its reward. */
function tokenOf({ options }: Room, choice: Choice | undefined): string | undefined {
  try {
    const token = choice === undefined ? '' : options.bandit.shown(choice);
    return token === '' ? undefined : token;
  } catch {
    return undefined; // As said.
  }
}

/** The choice goes out: its token, and in words for machines why it was made. */
function tell(room: Room, { choice, cut, published, answer, traits }: Decided): Readonly<Record<string, string>> {
  const { title } = published;
  const path = `/.nearcast/preview/${encodeURIComponent(title.id)}`;
  const chance = choice === undefined ? [] : [`chance=${choice.propensity.toFixed(3)}`];
  const like = traits.length === 0 ? [] : [`like=${traits.join(',')}`];
  const token = tokenOf(room, choice);
  return {
    ...(token === undefined ? {} : { 'nearcast-arm': token }),
    'nearcast-why': [answer, `theme=${cut.arm}`, ...chance, ...like].join('; '),
    ...(title.text.length === 0 ? {} : { 'nearcast-captions': `${path}.vtt?${new URLSearchParams({ cut: cut.arm })}` }),
  };
}

const hintOf = (decision: Decided, { hint = {} }: PreviewRequest): RenditionHint => ({
  ...hint,
  throughputBps: decision.throughputBps ?? hint.throughputBps,
});

function writePlaylist(_room: Room, { decision, request }: Showing): Written {
  const body = playlistOf(decision, request);
  return body === undefined ? { status: 409, reason: 'no-segments' } : { body, type: 'application/vnd.apple.mpegurl' };
}

function playlistOf(decision: Showing['decision'], request: PreviewRequest): string | undefined {
  if (decision.kind === 'timeline') return timelinePlaylist(decision.timeline);
  const { published, cut } = decision;
  const named = { title: published.title, ...cut };
  if (request.text !== undefined) return textPlaylist(named, request.text);
  const hint = hintOf(decision, request);
  return request.hasCaptions === true ? captionedPlaylist(named, hint) : previewPlaylist(published, cut.moments, hint);
}

/** Where the same bytes are for everybody, and in ranges: for players that ask for a file piece by piece. */
function fileUrl(titleId: string, arm: string, hint: RenditionHint & { readonly hasSound: boolean }): string {
  const query = new URLSearchParams({ cut: arm, ...hintQuery(hint), ...(hint.hasSound ? { sound: '1' } : {}) });
  return `/.nearcast/preview/${encodeURIComponent(titleId)}.mp4?${query}`;
}

async function writeFile({ films, counts }: Room, { decision, request, budget }: Showing): Promise<Written> {
  // Of what others packed nobody has checked that it can be spliced.
  if (decision.kind !== 'cut') return { status: 409, reason: 'foreign' };
  const { published, cut } = decision;
  const hint = { ...hintOf(decision, request), hasSound: request.hasSound === true };
  const plan = planFilm(published, cut.moments, hint);
  if (plan === undefined) return { status: 409, reason: 'no-segments' };
  const film = await films.film(plan, budget);
  if (budget.isOver('media')) counts.late('media');
  if (film === 'busy') return { status: 503, reason: 'busy' };
  if (film === undefined) return { status: 503, reason: 'media-missing' };
  const headers = {
    'nearcast-seconds': film.seconds.toFixed(3),
    'nearcast-skipped': String(film.skipped),
    'content-location': fileUrl(published.title.id, cut.arm, hint),
  };
  return { body: film.bytes, type: `video/mp4; codecs="${plan.codecs}"`, headers };
}

async function writeCaptions({ options }: Room, { decision, request, budget }: Showing): Promise<Written> {
  if (decision.kind !== 'cut') return { status: 409, reason: 'foreign' };
  const { language, text, run } = request;
  const { title, baseUrl } = decision.published;
  const track = title.text.find(
    ({ id, language: own }) => (text === undefined || id === text) && (language === undefined || own === language),
  );
  const places = placesOf(title, decision.cut.moments);
  if (track === undefined || places === undefined) return { status: 404, reason: 'no-text' };
  const got = await budget.by(
    'media',
    attempt(() => options.read(baseUrl + track.url, { maxBytes: MAX_CAPTION_BYTES, signal: request.signal })),
  );
  if (got.ended !== 'value' || got.value === undefined) return { status: 503, reason: 'media-missing' };
  const all = got.value.toString();
  const body = run === undefined ? moveCaptions(all, places) : textSegment({ title, ...decision.cut }, all, run);
  return body === undefined ? { status: 409, reason: 'no-text' } : { body, type: 'text/vtt; charset=utf-8' };
}

function showPicture(
  room: Room,
  { variant, choice, answer, reason, traits }: Exclude<ArtworkChoice, { status: number }>,
  { titleId, width }: { readonly titleId: string; readonly width: number | undefined },
): PreviewReply {
  const best = pictureFor(variant, width);
  const why = { answer, reason, variant: variant.id, chance: choice?.propensity ?? 1, like: traits };
  const srcset = srcsetOf(variant);
  const body = { version: 1, title: titleId, ...best, src: best.url, srcset, why, token: tokenOf(room, choice) };
  const headers = { 'content-type': 'application/json', 'cache-control': PRIVATE, 'content-location': best.url };
  return { status: 200, headers, body: JSON.stringify(body), answer, reason };
}

const REFUSALS = {
  404: 'There is no such preview.\n',
  409: 'This title has no preview of that kind yet.\n',
  503: 'The preview was not ready in time; show the poster.\n',
} as const;

function refuse(status: keyof typeof REFUSALS, reason: Reason): PreviewReply {
  const headers = { 'content-type': 'text/plain; charset=utf-8', 'cache-control': PRIVATE };
  return { status, headers, body: REFUSALS[status], answer: 'none', reason };
}
