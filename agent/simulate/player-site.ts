// A simulated site with a few viewers behind one edge and a far, narrow origin: what they wait for with prefetch and without.
// Seeded: the same seed gives the same viewers and titles, who see different waits and act on them. Pure.
import { Hazard, type HazardCounts, type LastAction, type Moment } from '../predict/anticipate.ts';
import { HEAD_SECONDS } from '../predict/audience.ts';
import { normal } from '../train/random.ts';
import { type AbrKind, Player, type PlayerRequest, type Transfer } from './player.ts';
import { type Link, SiteEdge } from './player-edge.ts';
import { drawTitles, keptOf, type SiteTitle } from './player-titles.ts';
import { type Act, type Chance, drawAct, drawHabit, type Habit } from './player-viewer.ts';
import { seededChance } from './workload.ts';

/** What is simulated. */
export type SiteOptions = {
  readonly seed: number;
  readonly prefetch: boolean;
  readonly viewers: number;
  /** Counted hours, and those before, in which the cache fills. */
  readonly hours: number;
  readonly warmUpHours: number;
  readonly link: Link;
  /** Share of the catalogue's bytes that the cache has for what the site's own viewers ask for. */
  readonly cacheRatio: number;
  /** Share of the choices that fall on titles which the region's other viewers keep in the cache, 0..1. */
  readonly keptRatio: number;
  readonly maxWastedRatio: number;
  readonly prior?: HazardCounts;
};

/** Figures of one run, over its counted hours. */
export type SiteFigures = {
  readonly starts: number;
  /** Requests before the first picture, and those of them that the cache had. */
  readonly startRequests: number;
  readonly startHits: number;
  readonly switches: number;
  readonly switchHits: number;
  readonly seeks: number;
  readonly seekHits: number;
  /** From a viewer's choice to the first picture of another title, milliseconds, on average. */
  readonly contentSwitchMs: number;
  readonly stalls: number;
  readonly stalledSeconds: number;
  readonly playedHours: number;
  readonly meanKbps: number;
  readonly originBytes: number;
  readonly prefetchBytes: number;
  /** Share of the prefetched bytes that nobody watched in time. */
  readonly wastedRatio: number;
  readonly threshold: number;
};

/**
 * What a node has of beginnings, of titles with so much of the choices: as often as views began with a hit on the validation
 * seed of test/bench/prefetch-edge.ts at 5 %, with what is protected, and of the first minutes without.
 */
const WARM = [
  { seconds: HEAD_SECONDS, ratio: 0.98 },
  { seconds: 30, ratio: 0.85 },
] as const;
const STEP_MS = 20;
const SECOND_STEPS = 1000 / STEP_MS;
/** What viewers' own networks give: log-normal by session, varying within it, now and then nearly nothing. */
const ACCESS_MEDIAN_BPS = 40_000_000;
const ACCESS_SPREAD = 0.5;
const ACCESS_VARIES = 0.35;
const ACCESS_STAY_SECONDS = 20;
const FADE_CHANCE = 0.01;
const FADE_BPS = 1_500_000;
const FADE_SECONDS = 8;
/** Players that send CMCD, viewers who consent, devices that tell what is under the pointer or focus, hls.js-like players. */
const CMCD_SHARE = 0.75;
const CONSENT_SHARE = 0.6;
const HOVER_SHARE = 0.8;
const THROUGHPUT_SHARE = 0.6;
/** Before a title is played, this many are looked at, for so long each. */
const MAX_LOOKS = 4;
const LOOK_SECONDS = [0.8, 5] as const;
const IDLE_SECONDS = 900;
const BROWSE_AGAIN = 0.6;

type Counters = { -readonly [Key in keyof SiteFigures]: number } & { contentSwitches: number; bits: number };

type Site = {
  readonly chance: Chance;
  readonly titles: ReadonlyMap<string, SiteTitle>;
  readonly edge: SiteEdge;
  readonly hazard: Hazard;
  readonly counted: Counters;
  isCounted: boolean;
  nowMs: number;
};

const exponential = (mean: number, chance: Chance): number => -mean * Math.log(1 - chance());

/** A household's network at a time. */
class Access {
  readonly #median: number;
  bps: number;
  #untilMs = 0;
  #isFaded = false;

  constructor(chance: Chance) {
    this.#median = ACCESS_MEDIAN_BPS * Math.exp(ACCESS_SPREAD * normal(chance));
    this.bps = this.#median;
  }

  step(nowMs: number, chance: Chance): void {
    if (nowMs < this.#untilMs) return;
    this.#isFaded = !this.#isFaded && chance() < FADE_CHANCE;
    this.bps = this.#isFaded ? FADE_BPS : this.#median * Math.exp(ACCESS_VARIES * normal(chance));
    this.#untilMs = nowMs + 1000 * exponential(this.#isFaded ? FADE_SECONDS : ACCESS_STAY_SECONDS, chance);
  }
}

/** One viewer with one player. */
class SiteViewer {
  readonly #site: Site;
  readonly #chance: Chance;
  readonly #sid: string | undefined;
  readonly #hasCmcd: boolean;
  readonly #tellsHovers: boolean;
  readonly #access: Access;
  readonly #player: Player;
  #habit: Habit;
  #title: SiteTitle | undefined;
  #looks: { readonly title: SiteTitle; readonly untilMs: number }[] = [];
  #idleUntilMs: number;
  #pausedUntilMs = 0;
  #last: LastAction = 'start';
  #lastAtMs = 0;
  #hasStarted = false;
  #isContentSwitch = false;
  #stalls = 0;
  #stalledMs = 0;

  constructor(site: Site, index: number) {
    this.#site = site;
    this.#chance = seededChance(Math.floor(site.chance() * 2 ** 31));
    this.#sid = this.#chance() < CONSENT_SHARE ? `viewer-${index}` : undefined;
    this.#hasCmcd = this.#chance() < CMCD_SHARE;
    this.#tellsHovers = this.#chance() < HOVER_SHARE;
    this.#access = new Access(this.#chance);
    this.#habit = drawHabit(this.#chance);
    this.#idleUntilMs = 1000 * exponential(60, this.#chance);
    const abr: AbrKind = this.#chance() < THROUGHPUT_SHARE ? 'throughput' : 'buffer';
    const edge = {
      request: (url: string, bytes: number) =>
        site.edge.request(url, bytes, {
          bps: () => this.#access.bps,
          onEnd: (transfer, ms) => this.#served(transfer, ms),
        }),
      abandon: (transfer: Transfer) => site.edge.abandon(transfer),
    };
    this.#player = new Player(edge, abr, (request) => this.#count(request));
  }

  #count({ transfer, cause }: PlayerRequest): void {
    const { counted, isCounted } = this.#site;
    if (!isCounted) return;
    const hit = transfer.isHit ? 1 : 0;
    if (cause === 'start') {
      counted.startRequests += 1;
      counted.startHits += hit;
    } else if (cause === 'switch') {
      counted.switches += 1;
      counted.switchHits += hit;
    } else if (cause === 'seek') {
      counted.seeks += 1;
      counted.seekHits += hit;
    }
    counted.bits += transfer.bytes * 8;
  }

  #moment(): Moment {
    return {
      positionSeconds: this.#player.positionSeconds,
      durationSeconds: this.#title?.durationSeconds,
      last: this.#last,
      sinceSeconds: (this.#site.nowMs - this.#lastAtMs) / 1000,
    };
  }

  #served(transfer: Transfer, ms: number): void {
    const title = this.#title;
    if (title === undefined) return;
    const { throughputKbps, bufferMs, topBitrateKbps } = this.#player.state;
    const moment = this.#sid === undefined ? { ...this.#moment(), last: 'none' as const } : this.#moment();
    const viewing = {
      ...(this.#sid === undefined ? {} : { sid: this.#sid }),
      ...(this.#hasCmcd ? { throughputKbps, bufferMs, topBitrateKbps } : {}),
      sentBytes: transfer.bytes,
      sentMs: ms,
    };
    this.#site.edge.served(transfer.url, title.timeline.titleId, viewing, this.#site.hazard.intent(moment));
  }

  #tell(type: string, titleId: string, positionSeconds?: number): void {
    const sid = this.#sid === undefined ? {} : { sid: this.#sid };
    const position = positionSeconds === undefined ? {} : { positionSeconds };
    this.#site.edge.happened({ type, titleId, ...position, ...sid });
  }

  step(): void {
    const { nowMs } = this.#site;
    this.#access.step(nowMs, this.#chance);
    if (this.#title !== undefined) this.#watch(this.#title);
    else if (this.#looks.length > 0) this.#look();
    else if (nowMs >= this.#idleUntilMs) this.#browse();
  }

  /** Looks at some titles, the last of which is played. */
  #browse(): void {
    const { titles, nowMs } = this.#site;
    const count = 1 + Math.floor(MAX_LOOKS * this.#chance());
    let untilMs = nowMs;
    this.#looks = Array.from({ length: count }, () => {
      const [least, most] = LOOK_SECONDS;
      untilMs += 1000 * (least + (most - least) * this.#chance() ** 2);
      return { title: drawTitle([...titles.values()], this.#chance), untilMs };
    });
    this.#hover();
  }

  #hover(): void {
    const look = this.#looks[0];
    if (look !== undefined && this.#tellsHovers) this.#tell('hover', look.title.timeline.titleId);
  }

  #look(): void {
    const look = this.#looks[0];
    if (look === undefined || this.#site.nowMs < look.untilMs) return;
    this.#looks.shift();
    if (this.#looks.length === 0) this.#open(look.title);
    else {
      if (this.#tellsHovers) this.#tell('unhover', look.title.timeline.titleId);
      this.#hover();
    }
  }

  #open(title: SiteTitle): void {
    this.#title = title;
    this.#hasStarted = false;
    this.#act('start');
    this.#tell('open', title.timeline.titleId);
    this.#player.open(title.timeline);
    if (this.#site.isCounted) this.#site.counted.starts += 1;
  }

  #act(last: LastAction): void {
    this.#last = last;
    this.#lastAtMs = this.#site.nowMs;
  }

  #watch(title: SiteTitle): void {
    const { nowMs, counted, isCounted } = this.#site;
    const player = this.#player;
    player.step(nowMs, STEP_MS);
    if (isCounted) {
      counted.stalls += player.stalls - this.#stalls;
      counted.stalledSeconds += (player.stalledMs - this.#stalledMs) / 1000;
      counted.playedHours += player.isPaused ? 0 : STEP_MS / 3_600_000;
    }
    this.#stalls = player.stalls;
    this.#stalledMs = player.stalledMs;
    if (player.hasPicture && !this.#hasStarted) this.#first();
    if (player.isPaused && nowMs >= this.#pausedUntilMs) {
      player.isPaused = false;
      this.#act('resume');
      this.#tell('play', title.timeline.titleId, player.positionSeconds);
    }
    const isSecond = Math.round(nowMs / STEP_MS) % SECOND_STEPS === 0;
    if (!isSecond || player.isPaused || !this.#hasStarted) return;
    const act = player.isEnded
      ? ({ type: 'leave' } as const)
      : drawAct(this.#habit, title, this.#moment(), this.#chance);
    if (act !== undefined) this.#do(act, title);
  }

  #first(): void {
    this.#hasStarted = true;
    const { counted, isCounted } = this.#site;
    if (isCounted && this.#isContentSwitch) {
      counted.contentSwitches += 1;
      counted.contentSwitchMs += this.#player.waitedMs;
    }
    this.#isContentSwitch = false;
  }

  #do(act: Act, title: SiteTitle): void {
    const { titleId } = title.timeline;
    const player = this.#player;
    if (act.type === 'pause') {
      player.isPaused = true;
      this.#pausedUntilMs = this.#site.nowMs + act.seconds * 1000;
      this.#act('pause');
      this.#tell('pause', titleId, player.positionSeconds);
    } else if (act.type === 'seek') {
      player.seek(act.toSeconds);
      this.#act('seek');
      this.#tell('seek', titleId, act.toSeconds);
    } else this.#leave(act, title);
  }

  #leave(act: Act, title: SiteTitle): void {
    const { titles, nowMs } = this.#site;
    const { nextId } = title;
    this.#tell(act.type === 'next' ? 'next' : 'stop', title.timeline.titleId, this.#player.positionSeconds);
    this.#player.close();
    this.#title = undefined;
    const next = act.type === 'next' && nextId !== undefined ? titles.get(nextId) : undefined;
    this.#isContentSwitch = next !== undefined || this.#chance() < BROWSE_AGAIN;
    if (next !== undefined) this.#open(next);
    else if (this.#isContentSwitch) this.#browse();
    else {
      this.#habit = drawHabit(this.#chance);
      this.#idleUntilMs = nowMs + 1000 * exponential(IDLE_SECONDS, this.#chance);
    }
  }
}

function drawTitle(titles: readonly SiteTitle[], chance: Chance): SiteTitle {
  let left = chance() * titles.reduce((sum, { weight }) => sum + weight, 0);
  for (const title of titles) {
    left -= title.weight;
    if (left < 0) return title;
  }
  const last = titles.at(-1);
  if (last === undefined) throw new RangeError('a site without titles');
  return last;
}

const catalogueBytes = (titles: Iterable<SiteTitle>): number => {
  let sum = 0;
  for (const { timeline } of titles) {
    for (const { parts } of timeline.tracks) for (const { bytes = 0 } of parts) sum += bytes;
  }
  return sum;
};

function openSite(options: SiteOptions): Site {
  const chance = seededChance(options.seed);
  const drawn = drawTitles(chance);
  const titles = new Map(drawn.map((title) => [title.timeline.titleId, title]));
  const edge = new SiteEdge({
    link: options.link,
    cacheBytes: options.cacheRatio * catalogueBytes(drawn),
    prefetch: options.prefetch,
    titles: new Map(drawn.map(({ timeline }) => [timeline.titleId, timeline])),
    nextOf: (titleId) => titles.get(titleId)?.nextId,
    warm: new Map(WARM.flatMap(({ seconds, ratio }) => [...keptOf(drawn, ratio)].map((id) => [id, seconds] as const))),
    kept: keptOf(drawn, options.keptRatio),
    maxWastedRatio: options.maxWastedRatio,
  });
  const counted: Counters = {
    ...{ starts: 0, startRequests: 0, startHits: 0, switches: 0, switchHits: 0, seeks: 0, seekHits: 0 },
    ...{ contentSwitchMs: 0, contentSwitches: 0, stalls: 0, stalledSeconds: 0, playedHours: 0, meanKbps: 0, bits: 0 },
    ...{ originBytes: 0, prefetchBytes: 0, wastedRatio: 0, threshold: 0 },
  };
  return { chance, titles, edge, hazard: new Hazard(options.prior), counted, isCounted: false, nowMs: 0 };
}

/** Runs a site. */
export function runSite(options: SiteOptions): SiteFigures {
  const site = openSite(options);
  const viewers = Array.from({ length: options.viewers }, (_, index) => new SiteViewer(site, index));
  const fromMs = options.warmUpHours * 3_600_000;
  const toMs = fromMs + options.hours * 3_600_000;
  let before = { ...site.edge.figures };
  while (site.nowMs < toMs) {
    site.nowMs += STEP_MS;
    if (!site.isCounted && site.nowMs >= fromMs) {
      site.isCounted = true;
      before = { ...site.edge.figures };
    }
    site.edge.step(site.nowMs, STEP_MS);
    for (const viewer of viewers) viewer.step();
    if (site.nowMs % 5_000 === 0) site.edge.sweep();
  }
  const { counted, edge } = site;
  const { contentSwitches, bits, ...figures } = counted;
  const { bytes, threshold } = edge.usefulness.stats();
  const prefetchBytes = edge.figures.prefetchBytes - before.prefetchBytes;
  return {
    ...figures,
    contentSwitchMs: figures.contentSwitchMs / Math.max(1, contentSwitches),
    meanKbps: bits / Math.max(1, figures.playedHours * 3_600_000),
    originBytes: edge.figures.viewerBytes - before.viewerBytes + prefetchBytes,
    prefetchBytes,
    wastedRatio: bytes.wasted / Math.max(1, bytes.useful + bytes.late + bytes.wasted),
    threshold,
  };
}
