// Previews in this process: playlists of a title of two hours for a viewer with a history, and spliced files whose
// segments come from a cache in memory.
import { openOrigin } from '../../agent/commands/origin.ts';
import { openBudget } from '../../agent/preview/budget.ts';
import { openFilms, planFilm } from '../../agent/preview/films.ts';
import { chooseMoments } from '../../agent/preview/moments.ts';
import { openPreview } from '../../agent/preview/preview.ts';
import { open as openCache } from '../../cache/cache.ts';
import { fakeBandit } from '../fake/bandit.ts';
import { chances } from '../fake/chance.ts';
import type { ClipPackage } from '../fake/clip-package.ts';
import { makeTitle, published } from '../fake/title.ts';
import { percentile } from './figures.ts';

const ROUNDS = 2000;
const COLD_ROUNDS = 200;
const FILMS = 1000;

const next = chances(1);
const film = (id: string) =>
  makeTitle(
    id,
    Array.from({ length: 1800 }, () => ({
      seconds: 1 + 6 * next(),
      features: { spatial: next(), temporal: next(), luma: 0.1 + 0.8 * next(), saturation: next(), loudness: next() },
    })),
  );
/** What else the process does has its turn, as between requests. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Personal playlists: cuts known, and cuts chosen anew for each. */
export async function measurePlaylists(): Promise<Record<string, number>> {
  const titles = new Map(Array.from({ length: 9 }, (_, n) => [`film-${n}`, film(`film-${n}`)]));
  let isCold = false;
  const preview = openPreview({
    packageOf: (id) => {
      const title = titles.get(id);
      if (title === undefined) return undefined;
      return { state: 'ready', ...published(isCold && id === 'film-0' ? { ...title } : title) };
    },
    sessionOf: () => ({
      watched: Array.from({ length: 8 }, (_, n) => ({ titleId: `film-${n + 1}`, watchedRatio: next() })),
    }),
    bandit: fakeBandit({ random: next }).bandit,
    read: async () => undefined,
    deadlineMs: 10_000,
    fileDeadlineMs: 10_000,
    imagesOf: () => undefined,
    now: () => 1_700_000_000_000,
  });
  const measure = async (rounds: number) => {
    const { signal } = new AbortController();
    const times: number[] = [];
    for (let n = 0; n < rounds; n += 1) {
      await turn();
      const startedAt = performance.now();
      const { status, answer } = await preview.answer({ titleId: 'film-0', sid: 's', signal });
      times.push(performance.now() - startedAt);
      if (status !== 200 || answer !== 'personal') throw new Error(`answered ${status} ${answer}`);
    }
    return times;
  };
  await measure(200);
  const known = await measure(ROUNDS);
  isCold = true;
  const cold = await measure(COLD_ROUNDS);
  return {
    playlist_p50_ms: percentile(known, 0.5),
    playlist_p99_ms: percentile(known, 0.99),
    playlist_cold_p99_ms: percentile(cold, 0.99),
  };
}

/** Files of every cut of every title, none of them kept: read from the cache's memory and spliced. */
export async function measureSplices(
  publicDir: string,
  clips: readonly ClipPackage[],
): Promise<Record<string, number>> {
  const origin = await openOrigin({ dir: publicDir, host: '127.0.0.1', port: 0, log: () => undefined });
  const cache = await openCache({
    origins: [{ name: 'main', url: `http://127.0.0.1:${origin.port}`, match: '/' }],
    store: { ramBytes: 256 << 20, dirs: [], required: false },
    rules: { defaultTtlSeconds: 600, graceSeconds: 0, target: 'Nearcast-Cache-Control' },
    nodeId: 'bench',
    now: Date.now,
    log: () => undefined,
  });
  const films = openFilms({ read: async (url, limits) => (await cache.read(url, limits))?.bytes });
  const { signal } = new AbortController();
  const plans = clips.flatMap((clip) =>
    chooseMoments(clip.title).flatMap(({ moments }) => planFilm(clip, moments, { hasSound: true }) ?? []),
  );
  const make = async (count: number) => {
    const times: number[] = [];
    for (let n = 0; n < count; n += 1) {
      const plan = plans[n % plans.length];
      if (plan === undefined) throw new Error('no plan');
      await turn();
      const startedAt = performance.now();
      const made = await films.film({ ...plan, key: `${n} ${count}` }, openBudget(5_000, signal));
      times.push(performance.now() - startedAt);
      if (made === undefined || made === 'busy' || made.skipped > 0) throw new Error('a film with gaps');
    }
    return times;
  };
  await make(200);
  const times = await make(FILMS);
  await cache.close(0);
  await origin.close();
  return { splice_p50_ms: percentile(times, 0.5), splice_p99_ms: percentile(times, 0.99) };
}
