// Previews on this node: the room of previews with what it needs of the others, who chooses for it, what viewers did with
// what they were shown, and the previews that are made ready before they are asked for.
import { randomBytes } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import type { Cache, Log } from '../cache/cache.ts';
import type { Bandits } from './bandits.ts';
import type { Catalogue } from './catalogue.ts';
import type { Config } from './config.ts';
import type { EncodeStatus, Encodes } from './encodes.ts';
import type { Prediction } from './prediction.ts';
import type { Prefetching } from './prefetching.ts';
import { type Ads, openAds } from './preview/ads.ts';
import type { PackageState } from './preview/decide.ts';
import type { Features } from './preview/descriptor.ts';
import { createInterest, type Interest } from './preview/interest.ts';
import type { PreviewModules } from './preview/modules.ts';
import type { MomentHints } from './preview/moments.ts';
import { openPreview, type Preview } from './preview/preview.ts';
import { type Promo, parsePromos } from './preview/promos.ts';
import { historyOf, soughtFrom } from './preview-taste.ts';
import type { State } from './state.ts';
import { dayOf } from './state-schema.ts';
import type { ViewerEvent } from './telemetry/event.ts';
import type { Session } from './telemetry/session.ts';
import type { Sessions } from './telemetry/sessions.ts';
import type { Timelines } from './timelines.ts';

/** What openPreviews() needs. */
export type PreviewsOptions = {
  readonly config: Config['preview'];
  readonly cache: Pick<Cache, 'read'>;
  readonly catalogue: Catalogue;
  readonly sessions: Sessions;
  readonly timelines: Timelines;
  readonly prediction: Prediction;
  readonly prefetching: Prefetching;
  readonly encodes: Encodes | undefined;
  readonly bandits: Pick<Bandits, 'bandit' | 'modules' | 'told' | 'sweep'>;
  readonly state: Pick<State, 'secrets' | 'snapshots'>;
  readonly durationOf: (titleId: string) => number | undefined;
  readonly now: () => number;
  readonly log: Log;
};

/** Previews as the node sees them. */
export type Previews = {
  readonly preview: Preview;
  readonly ads: Ads;
  /** A player told of something; `session`: whose, with consent. */
  readonly happened: (event: ViewerEvent, session?: Session) => void;
  /** Makes the previews of these titles ready, and fetches what they begin with; for one viewer, or whoever comes. */
  readonly expected: (titleIds: readonly string[], sid?: string) => Promise<void>;
  /** Housekeeping; every minute. */
  readonly sweep: () => void;
  readonly close: () => void;
};

/** Titles made ready, for one viewer and for everybody. */
const MOST_EXPECTED = 8;
/** An object that is fetched ahead of a look is of no use after this long. */
const USEFUL_MS = 30_000;
const SNAPSHOT = 'preview-interest';
const ADS_SNAPSHOT = 'preview-ads';
/** Largest list of promos that is read, bytes. */
const MAX_PROMO_BYTES = 1024 * 1024;

const isOpen = ({ state }: EncodeStatus): boolean => state === 'queued' || state === 'running';

/** Opens previews. Throws RangeError for a stored secret that is too short. */
export function openPreviews(options: PreviewsOptions): Previews {
  const { config, prediction, sessions, state, durationOf, now } = options;
  const { bandit } = options.bandits;
  const interest = createInterest(state.snapshots.get(SNAPSHOT));
  const preview = openPreviewRoom(options, interest);
  const promos = watchPromos(config.promos, options.log);
  const ads = openAds({
    promos: promos.list,
    limits: { perViewerPerHour: config.promosPerViewerPerHour, noRepeatWithin: config.promoNoRepeatWithin },
    mayRemember: sessions.has,
    ...{ decider: preview.decider, films: preview.films, bandit, secret: noteSecret(state.secrets), now },
    deadlineMs: config.fileDeadlineMs,
    spent: state.snapshots.get(ADS_SNAPSHOT),
  });
  const expected = openLookAhead(options, preview);
  const save = () => {
    state.snapshots.put(SNAPSHOT, interest.snapshot());
    state.snapshots.put(ADS_SNAPSHOT, ads.snapshot());
  };
  return {
    preview,
    ads,
    expected,
    happened(event, session) {
      const { type, title: titleId, positionSeconds } = event;
      const heard = { type, titleId, positionSeconds, fromSeconds: soughtFrom(session, event) };
      interest.heard(heard, durationOf(titleId), dayOf(now()));
      options.bandits.told(event);
    },
    sweep() {
      options.bandits.sweep();
      ads.sweep();
      void promos.read();
      save();
      const popular = prediction.predictor.shares().slice(0, MOST_EXPECTED);
      void expected(popular.map(({ titleId }) => titleId));
    },
    close: save,
  };
}

function openPreviewRoom(options: PreviewsOptions, interest: Interest): Preview {
  const { cache, catalogue, config, sessions, now } = options;
  return openPreview({
    packageOf: (titleId) => packageOf(options, titleId),
    sessionOf: (sid) => historyOf(sessions.get(sid), now()),
    interestOf: interest.of,
    hints: hintsOf(options.bandits.modules),
    bandit: options.bandits.bandit,
    read: async (url, limits) => (await cache.read(url, limits))?.bytes,
    imagesOf: (titleId) => catalogue.title(titleId)?.images,
    deadlineMs: config.deadlineMs,
    fileDeadlineMs: config.fileDeadlineMs,
    now,
  });
}

/** Themes and scorers of modules; one that throws, or gives no number, says nothing. */
function hintsOf({ arms, momentScorers }: PreviewModules): Pick<MomentHints, 'themes' | 'scorers'> {
  const safe = (score: (ranks: Features) => number) => (ranks: Features) => {
    try {
      const value = score(ranks);
      return Number.isFinite(value) ? value : 0;
    } catch {
      return 0; // As said.
    }
  };
  return {
    themes: arms.map(({ id, score }) => ({ id, score: safe(score) })),
    scorers: momentScorers.map(({ score }) => safe(score)),
  };
}

/** Makes previews ready before they are asked for, and fetches what they begin with. */
function openLookAhead({ config, prefetching, now }: PreviewsOptions, preview: Preview): Previews['expected'] {
  return async (titleIds, sid) => {
    if (!config.enabled) return;
    const objects = await preview.expect({ titleIds: titleIds.slice(0, MOST_EXPECTED), sid });
    for (const { titleId, url, bytes } of objects) {
      const why = 'its preview is likely to be looked at';
      const expiresAt = now() + USEFUL_MS;
      prefetching.fetcher.push({ url, titleId, bytes, why, expiresAt, reason: 'likely', priority: 'in-session' });
    }
  };
}

/** The operator's promos, read at once and then when the file is another one; one that cannot be read changes nothing. */
function watchPromos(
  file: string | null,
  log: Log,
): { readonly list: () => readonly Promo[]; readonly read: () => Promise<void> } {
  let promos: readonly Promo[] = [];
  let stamp = '';
  async function read(): Promise<void> {
    if (file === null) return;
    try {
      const { mtimeMs, size } = await stat(file);
      if (`${mtimeMs} ${size}` === stamp) return;
      stamp = `${mtimeMs} ${size}`;
      if (size > MAX_PROMO_BYTES) throw new Error(`larger than ${MAX_PROMO_BYTES} bytes`);
      promos = parsePromos(await readFile(file, 'utf8'));
    } catch (error) {
      log('warn', 'preview.bad_promos', { error });
    }
  }
  void read();
  return { list: () => promos, read };
}

/** Of the notes that clients hold of promos; drawn once. */
function noteSecret(secrets: State['secrets']): Uint8Array {
  const known = secrets.get('promo-notes');
  if (known !== undefined) return known;
  const drawn = randomBytes(32);
  secrets.set('promo-notes', drawn);
  return drawn;
}

async function packageOf(
  { catalogue, timelines, encodes }: PreviewsOptions,
  titleId: string,
): Promise<PackageState | undefined> {
  const found = await catalogue.package(titleId);
  if (found !== undefined) {
    const { title, baseUrl, overrides } = found;
    return { state: 'ready', title, baseUrl, overrides };
  }
  if (encodes?.list().some((job) => job.id === titleId && isOpen(job)) === true) return { state: 'pending' };
  const timeline = await timelines.forPreview(titleId);
  if (timeline !== undefined) return { state: 'foreign', timeline };
  return catalogue.title(titleId) === undefined ? undefined : { state: 'pending' };
}
