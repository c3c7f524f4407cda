// The metrics catalogue as Prometheus sees it: promtool accepts it, labels are as declared, histograms add up.
import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { newHistogram, observe } from '../../agent/histogram.ts';
import { openMetrics } from '../../agent/metrics.ts';
import type { NodeStats } from '../../agent/node-stats.ts';
import { HISTOGRAM_SECONDS } from '../../cache/cache.ts';

const perKind = { manifest: 1, init: 2, segment: 3, other: 4 };
const perResult = { hit: perKind, stale: perKind, revalidated: perKind, miss: perKind, pass: perKind, error: perKind };
const bytesByResult = { hit: 10, stale: 0, revalidated: 0, miss: 5, pass: 0, error: 0 };
const byPurpose = { viewer: 7, revalidate: 0, 'in-session': 2, 'off-peak': 1, publish: 0, operator: 0 };

const denied = {
  ...{ TOKEN_MISSING: 0, TOKEN_MALFORMED: 1, TOKEN_KEY_UNKNOWN: 2, TOKEN_SIGNATURE: 3, TOKEN_EXPIRED: 4 },
  ...{ TOKEN_NOT_YET: 5, TOKEN_PATH: 6, TOKEN_METHOD: 7, TOKEN_ADDRESS: 8, TOKEN_ISSUER: 9 },
  ...{ TOKEN_AUDIENCE: 10, TOKEN_CLAIM: 11, TOKEN_REPLAYED: 12 },
};

const power: NodeStats['power'] = {
  ...{ pace: 0.4, reason: 'heat', watts: 31.5, joules: 9_000, foregroundRatio: 0.2, pauses: 3 },
  rails: { 'package-0': 31.5 },
  celsius: { x86_pkg_temp: 84 },
  ...{ lost: ['dram'], faults: { dram: 'cannot be read' } },
};

const encode: NodeStats['encode'] = {
  jobs: { started: 2, done: 1, failed: 0 },
  active: 1,
  progressRatio: 0.5,
  ...{ cpuSeconds: 12.5, joules: 480 },
  waiting: { operator: 0, memory: 0, power: 2, worth: 1, turn: 0 },
  lastSuccessSeconds: 0,
  savedBytes: { cap: 1, pruning: 2, allocation: 3 },
};

type Observed = ReturnType<typeof newHistogram>;

const predictOf = (model: Observed, rules: Observed): NodeStats['predict'] => ({
  answers: { model: 4, rules: 1 },
  seconds: { model, rules, plan: newHistogram() },
  childRestarts: 0,
  models: [{ alias: 'champion', version: 'abc' }],
  life: {
    runs: { trained: 2, 'too-little': 1 },
    ...{ lastTrainedSeconds: 5, trainingRatio: 0.25 },
    changes: { promoted: 1, 'rolled-back': 0, withdrawn: 1, demoted: 1 },
    trial: { questions: 900, viewers: 60, championNdcg: 0.3, otherNdcg: 0.32 },
  },
  ...{ drift: { demand: 1.5, rank: undefined }, trust: 0.5, asked: { answered: 9, late: 2 } },
});

function previewOf(histogram: Observed): NodeStats['preview'] {
  return {
    ...{ answers: { personal: 1 }, reasons: { chosen: 1 }, late: { taste: 1 }, rewards: { played: 1 } },
    ...{
      seconds: { playlist: histogram },
      skippedSegments: { corrupt: 1 },
      ahead: { used: 1 },
      slots: { filled: 1 },
    },
    ...{ choices: { preview: 1 }, earned: 0.4, drifts: 0, stoppedArms: 0, experiments: 0 },
  };
}

function exampleStats(): NodeStats {
  const histogram = newHistogram();
  for (const seconds of [0.0001, 0.02, 0.3, 60]) observe(histogram, seconds);
  const empty = newHistogram();
  return {
    build: { version: '0.1.0', node: 'v24' },
    cache: {
      ...{ requests: perResult, sentBytes: bytesByResult },
      originBytes: byPurpose,
      originRequests: byPurpose,
      ...{ originErrors: 1, coalesced: 2 },
      firstByteSeconds: { hit: histogram, stale: empty, revalidated: empty, miss: empty, pass: empty, error: empty },
      prefetch: { storedBytes: 30, usefulBytes: 20, wastedBytes: 5, offPeak: { usefulBytes: 20, wastedBytes: 5 } },
      ...{ routeErrors: 0, malformed: 0 },
      misuse: { resets: 2, 'control-frames': 0, bytes: 0, slow: 1, protocol: 0 },
      handshakeFailures: 7,
      certificates: { expiresAt: [{ host: 'cdn.example.com', at: 1_800_000_000_000 }], reloads: 3, failures: 1 },
      shed: { connections: 3, requests: 2, address: 1, overload: 5, quota: 4 },
      notAdmitted: 17,
      denied,
      unknownHosts: 6,
      workers: { running: 2, restarts: 1, droppedRecords: 3 },
      origins: [
        {
          origin: 'main',
          retries: { repeat: 1, failover: 2, resume: 3, denied: 4 },
          servers: [
            { server: 'a.example', isUp: false, breaker: 'open', requests: 9, failures: 8 },
            { server: 'b.example', isUp: true, breaker: 'recovering', requests: 7, failures: 0 },
          ],
        },
      ],
      openConnections: 1,
      activeFills: 0,
      isTight: false,
      store: {
        objects: 3,
        usedBytes: { memory: 1, disk: 2 },
        limitBytes: { memory: 10, disk: 20 },
        evictions: { memory: 0, disk: 0 },
        ...{ hosts: [{ name: 'a.example', usedBytes: 4, limitBytes: 5 }], corruptBlocks: 0 },
        scrub: { bytes: 0, damaged: 0, passes: 0 },
        isDegraded: false,
        errors: [{ disk: '/var "odd"\\name', op: 'read', count: 2 }],
      },
    },
    inSession: {
      use: { objects: { hover: { useful: 3, late: 1, wasted: 2 } }, wastedRatio: 0.25, threshold: 0.1 },
      switched: { isOn: false, offs: 2, because: 'it cost', retryAt: 1 },
      anticipation: { sessions: 7, observed: 9, trainedOn: 'the viewer simulator' },
    },
    prefetch: { isPaused: false, outcomes: { stored: 1 } },
    expectation: { titles: 3, horizonSeconds: 86_400, heldRatio: 0.8, lines: { main: 1e6 } },
    offPeak: { runs: { done: 1 }, lastSuccessSeconds: 5 },
    predict: predictOf(histogram, empty),
    encode,
    power,
    preview: previewOf(histogram),
    events: { accepted: 5, invalid: 1, dropped: 0, capped: 0 },
    accessLogs: { requests: 5, malformed: 1, tooLong: 0 },
    sessions: 1,
    whatIf: { originBytes: { 'as-is': 5 }, p95BytesPerSecond: { 'as-is': 7 } },
    ...{ loopLagSeconds: 0.01, logDropped: 0 },
    configReloads: { ok: 5, failed: 2 },
  };
}

const scrape = async () => (await openMetrics(exampleStats).text()).text;

describe('/metrics', () => {
  test('passes promtool check metrics', async () => {
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
      input: await scrape(),
      encoding: 'utf8',
    });
    expect(`${stdout}${stderr}`).toBe('');
    expect(status).toBe(0);
  });

  test('histograms are cumulative, end in +Inf and count what was observed', async () => {
    const lines = (await scrape()).split('\n').filter((line) => line.startsWith('nearcast_preview_duration_seconds'));
    const buckets = lines.filter((line) => line.includes('_bucket')).map((line) => Number(line.split(' ').at(-1)));
    expect(buckets).toHaveLength(HISTOGRAM_SECONDS.length + 1);
    expect(buckets).toEqual([...buckets].sort((a, b) => a - b));
    expect(lines.find((line) => line.includes('+Inf'))).toMatch(/ 4$/);
    expect(lines.find((line) => line.includes('_count'))).toMatch(/ 4$/);
    expect(
      Number(
        lines
          .find((line) => line.includes('_sum'))
          ?.split(' ')
          .at(-1),
      ),
    ).toBeCloseTo(60.3201);
  });

  test('reads afresh at every scrape', async () => {
    let answers = 1;
    const metrics = openMetrics(() => ({ ...exampleStats(), sessions: answers }));
    expect((await metrics.text()).text).toMatch(/nearcast_sessions 1\n/);
    answers = 7;
    expect((await metrics.text()).text).toMatch(/nearcast_sessions 7\n/);
  });

  test('escapes label values', async () => {
    expect(await scrape()).toContain('disk="/var \\"odd\\"\\\\name"');
  });

  test('has every core metric of the contract', async () => {
    const text = await scrape();
    const names = [
      'cache_requests_total',
      'cache_sent_bytes_total',
      'origin_received_bytes_total',
      'cache_first_byte_seconds',
      'store_used_bytes',
      'store_errors_total',
      'prefetch_bytes_total',
      'predict_duration_seconds',
      'model_info',
      'encode_jobs_total',
      'encode_saved_bytes_total',
      'preview_requests_total',
      'preview_duration_seconds',
      'events_total',
      'event_loop_lag_seconds',
    ];
    for (const name of names) expect(text, name).toContain(`# TYPE nearcast_${name} `);
  });
});
