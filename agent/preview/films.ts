// Spliced files: reads a cut's segments through the cache, has them spliced, and keeps the latest files in memory, since
// cuts are few and viewers many.
import type { Title } from '../../encoder/contract.ts';
import { Mp4Error } from './boxes.ts';
import { attempt, type Budget } from './budget.ts';
import { cutSegments, type Published, type RenditionHint, type Span } from './playlist.ts';
import { type Placed, type Spliced, splice } from './splice.ts';

/** What a file is made of: URLs in order of time. */
export type FilmPlan = {
  /** Names the bytes: the same for the same package, segments and tracks. */
  readonly key: string;
  /** RFC 6381, for `video/mp4; codecs=`. */
  readonly codecs: string;
  readonly video: { readonly initUrl: string; readonly urls: readonly string[] };
  readonly sound: { readonly initUrl: string; readonly urls: readonly string[]; readonly codec: string } | undefined;
};

/** Reads a whole object; undefined: not there, or larger than allowed. */
export type ReadBytes = (
  url: string,
  options: { readonly maxBytes: number; readonly signal: AbortSignal },
) => Promise<Buffer | undefined>;

/** Counts since start. */
export type FilmStats = {
  readonly spliced: number;
  /** Answered from memory. */
  readonly reused: number;
  /** Segments left out: not to be had in time, or not what they should be. */
  readonly skipped: Readonly<Record<'missing' | 'corrupt', number>>;
};

/** An open film room. */
export type Films = {
  /** Undefined when no video segment could be had; `busy` when too many are made at once. */
  readonly film: (plan: FilmPlan, budget: Budget) => Promise<Spliced | 'busy' | undefined>;
  readonly stats: () => FilmStats;
};

/** Largest segment that is read; bytes of files kept in memory; files made at once. */
const MAX_SEGMENT_BYTES = 16 * 1024 * 1024;
const MAX_KEPT_BYTES = 32 * 1024 * 1024;
const MAX_AT_ONCE = 64;
/** Codecs of sound that every player of fragmented MP4 decodes. */
const SOUND_CODEC = 'mp4a.40';

/** What is to be read for a cut; undefined when no segment lies in the moments. */
export function planFilm(
  { title, baseUrl }: Published,
  moments: readonly Span[],
  hint: RenditionHint & { readonly hasSound: boolean },
): FilmPlan | undefined {
  const found = cutSegments(title, moments, hint);
  if (found === undefined) return undefined;
  const { rendition, segments } = found;
  const urls = segments.map(({ segment }) => baseUrl + segment.url);
  const sound = hint.hasSound ? soundOf(title, baseUrl, found) : undefined;
  const places = segments.map(({ index }) => index).join('.');
  return {
    key: `${baseUrl} ${rendition.id} ${places} ${sound === undefined ? '' : 'sound'}`,
    codecs: sound === undefined ? rendition.codec : `${rendition.codec}, ${sound.codec}`,
    video: { initUrl: baseUrl + rendition.initUrl, urls },
    sound,
  };
}

/** Segments of the first track of sound that overlap the picture's. */
function soundOf(title: Title, baseUrl: string, video: NonNullable<ReturnType<typeof cutSegments>>): FilmPlan['sound'] {
  const track = title.audio.find(({ codec }) => codec.startsWith(SOUND_CODEC));
  if (track === undefined) return undefined;
  const scale = video.rendition.timescale / track.timescale;
  const heard = track.segments.filter(({ startTicks, ticks }) =>
    video.segments.some(
      ({ segment }) =>
        startTicks * scale < segment.startTicks + segment.ticks && (startTicks + ticks) * scale > segment.startTicks,
    ),
  );
  return { initUrl: baseUrl + track.initUrl, urls: heard.map(({ url }) => baseUrl + url), codec: track.codec };
}

/** Where the segments of a cut lie in its file when none is left out; undefined when none lies in the moments. */
export function placesOf(title: Title, moments: readonly Span[]): readonly Placed[] | undefined {
  const found = cutSegments(title, moments, {});
  if (found === undefined) return undefined;
  const { timescale } = found.rendition;
  let at = 0;
  return found.segments.map(({ segment: { startTicks, ticks } }) => {
    const seconds = ticks / timescale;
    at += seconds;
    return { sourceSeconds: startTicks / timescale, atSeconds: at - seconds, seconds };
  });
}

/** Opens the room. */
export function openFilms({ read }: { readonly read: ReadBytes }): Films {
  const kept = new Map<string, Spliced>();
  const making = new Map<string, Promise<Spliced | undefined>>();
  const counts = { spliced: 0, reused: 0, skipped: { missing: 0, corrupt: 0 } };
  let keptBytes = 0;

  function keep(key: string, film: Spliced): void {
    if (film.skipped > 0 || film.bytes.length > MAX_KEPT_BYTES / 4 || kept.has(key)) return;
    kept.set(key, film);
    keptBytes += film.bytes.length;
    for (const [oldest, { bytes }] of kept) {
      if (keptBytes <= MAX_KEPT_BYTES) break;
      kept.delete(oldest);
      keptBytes -= bytes.length;
    }
  }

  async function make(plan: FilmPlan, budget: Budget): Promise<Spliced | undefined> {
    const ended = new AbortController();
    const get = async (url: string) => {
      const work = attempt(() => read(url, { maxBytes: MAX_SEGMENT_BYTES, signal: ended.signal }));
      const got = await budget.by('media', work);
      return got.ended === 'value' ? got.value : undefined;
    };
    const [video, sound] = await Promise.all([readAll(plan.video, get), plan.sound && readAll(plan.sound, get)]);
    ended.abort();
    const missing = [...video.segments, ...(sound?.segments ?? [])].filter((one) => one === undefined).length;
    if (video.init === undefined) {
      counts.skipped.missing += video.segments.length;
      return undefined;
    }
    const audio = sound?.init === undefined ? undefined : { init: sound.init, segments: sound.segments };
    const film = spliceOrNone({ init: video.init, segments: video.segments }, audio);
    const unused = film === undefined ? video.segments.length : film.skipped;
    counts.skipped.missing += missing;
    counts.skipped.corrupt += Math.max(0, unused - missing);
    return film;
  }

  return {
    async film(plan, budget) {
      const known = kept.get(plan.key);
      if (known !== undefined) {
        kept.delete(plan.key);
        kept.set(plan.key, known);
        counts.reused += 1;
        return known;
      }
      const others = making.get(plan.key);
      if (others === undefined && making.size >= MAX_AT_ONCE) return 'busy';
      const made =
        others ??
        make(plan, budget)
          .then((film) => {
            if (film !== undefined) keep(plan.key, film);
            return film;
          })
          .finally(() => making.delete(plan.key));
      making.set(plan.key, made);
      const film = await made;
      if (film !== undefined) counts[others === undefined ? 'spliced' : 'reused'] += 1;
      return film;
    },
    stats: () => ({ spliced: counts.spliced, reused: counts.reused, skipped: { ...counts.skipped } }),
  };
}

/** Init and segments of a track at once; undefined in place of what is not to be had. */
async function readAll(
  track: { readonly initUrl: string; readonly urls: readonly string[] },
  get: (url: string) => Promise<Buffer | undefined>,
) {
  const [init, ...segments] = await Promise.all([track.initUrl, ...track.urls].map(get));
  return { init, segments };
}

/** An init segment that is none makes no file, as if nothing could be had. */
function spliceOrNone(...tracks: Parameters<typeof splice>): Spliced | undefined {
  try {
    return splice(...tracks);
  } catch (error) {
    if (error instanceof Mp4Error) return undefined; // Counted: its segments were skipped as corrupt.
    throw error;
  }
}
