// Answers for previews: a playlist of segments that exist, the same as one spliced file, and its captions. Each within
// its deadline; what is not there by then is gone on without.
import { type AheadStats, type ExpectedObject, openAhead } from './ahead.ts';
import { type ArtworkChoice, chooseArtwork, type ImagesOf, openVariants, pictureFor, srcsetOf } from './artwork.ts';
import { attempt, type Budget, openBudget } from './budget.ts';
import { moveCaptions } from './captions.ts';
import { type Counted, createCounts, type Kind } from './counts.ts';
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
  /** Captions: BCP 47; absent: the first track's. */
  readonly language?: string | undefined;
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

type Way = {
  readonly kind: Kind;
  readonly deadlineMs: number;
  readonly write: (
    decision: Exclude<Decision, { kind: 'none' }>,
    request: PreviewRequest,
    budget: Budget,
  ) => Promise<Written>;
};
type Written =
  | { readonly body: string | Buffer; readonly type: string; readonly headers?: Readonly<Record<string, string>> }
  | { readonly status: 404 | 409 | 503; readonly reason: Reason };

/** Opens the conductor. */
export function openPreview(options: PreviewOptions): Preview {
  const counts = createCounts();
  const decider = openDecider(options, counts.late);
  const ahead = openAhead({ decider, now: options.now });
  const films = openFilms({ read: options.read });

  async function conduct(way: Way, request: PreviewRequest): Promise<PreviewReply> {
    const startedAt = performance.now();
    const budget = openBudget(way.deadlineMs, request.signal);
    const { titleId, sid, arm } = request;
    const before = arm === undefined && way.kind !== 'captions' ? ahead.take(titleId, sid) : undefined;
    const decision = before ?? (await decider.decide({ titleId, sid, arm }, budget));
    const reply = await finish(way, { request, decision, budget });
    counts.answered(way.kind, reply, (performance.now() - startedAt) / 1000);
    return reply;
  }

  async function finish(
    way: Way,
    { request, decision, budget }: { request: PreviewRequest; decision: Decision; budget: Budget },
  ): Promise<PreviewReply> {
    if (decision.kind === 'none') return refuse(decision.status, decision.reason);
    const written = await way.write(decision, request, budget);
    if ('status' in written) return refuse(written.status, written.reason);
    const { body, type, headers } = written;
    const decided = decision.kind === 'cut' ? decision : undefined;
    const answer = decided?.answer ?? 'default';
    const reason = decided?.reason ?? 'foreign';
    const cacheControl = reason === 'asked' ? SHARED : PRIVATE;
    const told = decided === undefined ? {} : tell(decided);
    return {
      ...{ status: 200, body, answer, reason },
      headers: { 'content-type': type, 'cache-control': cacheControl, ...told, ...headers },
    };
  }

  /** The choice goes out: its token, and in words for machines why it was made. */
  function tell({ choice, cut, published, answer, traits }: Decided): Readonly<Record<string, string>> {
    const { title } = published;
    const path = `/.nearcast/preview/${encodeURIComponent(title.id)}`;
    const pinned = new URLSearchParams({ cut: cut.arm });
    const why = [
      answer,
      `theme=${cut.arm}`,
      ...(choice === undefined ? [] : [`chance=${choice.propensity.toFixed(3)}`]),
    ];
    return {
      ...(choice === undefined ? {} : { 'nearcast-arm': options.bandit.shown(choice) }),
      'nearcast-why': [...why, ...(traits.length === 0 ? [] : [`like=${traits.join(',')}`])].join('; '),
      ...(title.text.length === 0 ? {} : { 'nearcast-captions': `${path}.vtt?${pinned}` }),
    };
  }

  const hintOf = (decision: Decided, { hint = {} }: PreviewRequest): RenditionHint => ({
    ...hint,
    throughputBps: decision.throughputBps ?? hint.throughputBps,
  });

  const playlist: Way = {
    kind: 'playlist',
    deadlineMs: options.deadlineMs,
    write: async (decision, request) => {
      if (decision.kind === 'cut') ahead.seen(request.hint ?? {});
      const body =
        decision.kind === 'timeline'
          ? timelinePlaylist(decision.timeline)
          : previewPlaylist(decision.published, decision.cut.moments, hintOf(decision, request));
      return body === undefined
        ? { status: 409, reason: 'no-segments' }
        : { body, type: 'application/vnd.apple.mpegurl' };
    },
  };

  const file: Way = {
    kind: 'file',
    deadlineMs: options.fileDeadlineMs,
    write: async (decision, request, budget) => {
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
      const headers = { 'nearcast-seconds': film.seconds.toFixed(3), 'nearcast-skipped': String(film.skipped) };
      return { body: film.bytes, type: `video/mp4; codecs="${plan.codecs}"`, headers };
    },
  };

  const captions: Way = {
    kind: 'captions',
    deadlineMs: options.fileDeadlineMs,
    write: async (decision, { language }, budget) => {
      if (decision.kind !== 'cut') return { status: 409, reason: 'foreign' };
      const { title, baseUrl } = decision.published;
      const track = title.text.find((one) => language === undefined || one.language === language);
      const places = placesOf(title, decision.cut.moments);
      if (track === undefined || places === undefined) return { status: 404, reason: 'no-text' };
      const { signal } = new AbortController();
      const got = await budget.by(
        'media',
        attempt(() => options.read(baseUrl + track.url, { maxBytes: MAX_CAPTION_BYTES, signal })),
      );
      if (got.ended !== 'value' || got.value === undefined) return { status: 503, reason: 'media-missing' };
      const body = moveCaptions(got.value.toString(), places);
      return body === undefined ? { status: 409, reason: 'no-text' } : { body, type: 'text/vtt; charset=utf-8' };
    },
  };

  const pictures = { decider, bandit: options.bandit, imagesOf: options.imagesOf, variantsOf: openVariants() };
  async function artwork(request: PreviewRequest & { readonly width?: number | undefined }): Promise<PreviewReply> {
    const startedAt = performance.now();
    const { titleId, sid, width } = request;
    const chosen = await chooseArtwork(pictures, { titleId, sid }, openBudget(options.deadlineMs, request.signal));
    const reply = 'status' in chosen ? refuse(chosen.status, chosen.reason) : picture(chosen, { titleId, width });
    counts.answered('artwork', reply, (performance.now() - startedAt) / 1000);
    return reply;
  }

  function picture(
    { variant, choice, answer, reason, traits }: Exclude<ArtworkChoice, { status: number }>,
    { titleId, width }: { readonly titleId: string; readonly width: number | undefined },
  ): PreviewReply {
    const best = pictureFor(variant, width);
    const token = choice === undefined ? undefined : options.bandit.shown(choice);
    const why = { answer, reason, variant: variant.id, chance: choice?.propensity ?? 1, like: traits };
    const body = { version: 1, title: titleId, ...best, src: best.url, srcset: srcsetOf(variant), why, token };
    const headers = { 'content-type': 'application/json', 'cache-control': PRIVATE, 'content-location': best.url };
    return { status: 200, headers, body: JSON.stringify(body), answer, reason };
  }

  return {
    artwork,
    answer: (request) => conduct(playlist, request),
    film: (request) => conduct(file, request),
    captions: (request) => conduct(captions, { ...request, arm: request.arm ?? '' }),
    expect: ahead.expect,
    decider,
    films,
    stats: () => ({ ...counts.read(), films: films.stats(), ahead: ahead.stats() }),
  };
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
