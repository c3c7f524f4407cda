// Prefetch in sessions against none, on the simulated site: starts, rendition switches and jumps served from the cache, what
// viewers wait for another title, stalls, and what it costs in origin bytes. For three sizes of what the region keeps.
import { fileURLToPath } from 'node:url';
import { SIMULATED_PRIOR } from '../../agent/predict/anticipate-prior.ts';
import { runSite, type SiteFigures, type SiteOptions } from '../../agent/simulate/player-site.ts';

/**
 * An origin of 80 ms and 8 Mbit/s a fetch, what a connection with a window of 80 KB gets there; all fetches together have as
 * much for each viewer. Chosen before anything was measured with it, as are the viewers (agent/simulate/player-viewer.ts).
 */
const VIEWERS = 4;
const LINK = { originMs: 80, fetchBps: 8_000_000, originBps: 8_000_000 * VIEWERS, edgeMs: 15 };
const SEEDS = [11, 12, 13] as const;
const HOURS = 10;
/** Byte hit ratios of S3-FIFO at 1, 5 and 20 % of a catalogue, with a whole region asking (see test/bench/policy.ts). */
const KEPT = { '1 %': 0.27, '5 %': 0.57, '20 %': 0.88 } as const;
/** The size that the figures are quoted for. */
const QUOTED = '5 %';

const site = (seed: number, prefetch: boolean, keptRatio: number): SiteOptions => ({
  ...{ seed, prefetch, keptRatio, viewers: VIEWERS, hours: HOURS, warmUpHours: 1, link: LINK },
  ...{ cacheRatio: 0.05, maxWastedRatio: 0.2, prior: SIMULATED_PRIOR },
});

const sum = (runs: readonly SiteFigures[], key: keyof SiteFigures): number =>
  runs.reduce((total, run) => total + run[key], 0);

/** Figures of several runs together. */
function together(runs: readonly SiteFigures[]) {
  const played = sum(runs, 'playedHours');
  const switchesAndSeeks = sum(runs, 'switches') + sum(runs, 'seeks');
  return {
    startupHit: sum(runs, 'startHits') / sum(runs, 'startRequests'),
    switchHit: sum(runs, 'switchHits') / sum(runs, 'switches'),
    seekHit: sum(runs, 'seekHits') / sum(runs, 'seeks'),
    switchOrSeekHit: (sum(runs, 'switchHits') + sum(runs, 'seekHits')) / switchesAndSeeks,
    contentSwitchMs: sum(runs, 'contentSwitchMs') / runs.length,
    stallsPerHour: sum(runs, 'stalls') / played,
    stalledSecondsPerHour: sum(runs, 'stalledSeconds') / played,
    originGBPerHour: sum(runs, 'originBytes') / played / 1e9,
    wastedRatio: sum(runs, 'wastedRatio') / runs.length,
    meanKbps: sum(runs, 'meanKbps') / runs.length,
  };
}

const rounded = (figures: Readonly<Record<string, number>>): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(figures).map(([key, value]) => [key, value.toFixed(3)]));

/** Runs it; `print` gets a row for each cache size, without prefetch and with. */
async function runSessions(print: (row: Readonly<Record<string, unknown>>) => void): Promise<Record<string, number>> {
  let figures: Record<string, number> = {};
  for (const [size, keptRatio] of Object.entries(KEPT)) {
    const without = together(SEEDS.map((seed) => runSite(site(seed, false, keptRatio))));
    const withIt = together(SEEDS.map((seed) => runSite(site(seed, true, keptRatio))));
    print({ cache: size, prefetch: 'off', ...rounded(without) });
    print({ cache: size, prefetch: 'on', ...rounded(withIt) });
    if (size !== QUOTED) continue;
    figures = {
      startup_hit: withIt.startupHit,
      switch_hit: withIt.switchOrSeekHit,
      switch_latency_gain: 1 - withIt.contentSwitchMs / without.contentSwitchMs,
      stall_reduction: 1 - withIt.stallsPerHour / without.stallsPerHour,
    };
  }
  return figures;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const rows: Readonly<Record<string, unknown>>[] = [];
  const figures = await runSessions((row) => rows.push(row));
  console.table(rows);
  console.log(JSON.stringify(figures));
}
