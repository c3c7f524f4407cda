// The conductor from outside: who chooses, what happens when a step is late or fails, and where rewards go.
import { describe, expect, test } from 'vitest';
import type { TitlePosteriors } from '../../../agent/preview/posteriors.ts';
import { openPreview, type PackageState, type PreviewOptions } from '../../../agent/preview/preview.ts';
import type { PreviewRecord } from '../../../agent/preview/rewards.ts';
import { makeTitle, makeVariedTitle, published } from '../../fake/title.ts';

const never = () => new Promise<never>(() => undefined);
const varied = makeVariedTitle('varied');
const calm = makeTitle(
  'calm',
  Array.from({ length: 9 }, () => ({ seconds: 4, features: { temporal: 0, loudness: 0 } })),
);
const wild = makeTitle(
  'wild',
  Array.from({ length: 9 }, () => ({ seconds: 4, features: { temporal: 1, loudness: 1 } })),
);
const packages: Record<string, PackageState> = {
  varied: { state: 'ready', ...published(varied) },
  calm: { state: 'ready', ...published(calm) },
  wild: { state: 'ready', ...published(wild) },
  coming: { state: 'pending' },
  sealed: {
    state: 'foreign',
    timeline: { segments: [0, 1, 2].map((n) => ({ url: `/drm/${n}.m4s`, startSeconds: n * 4, durationSeconds: 4 })) },
  },
  empty: { state: 'foreign', timeline: { segments: [] } },
};

function open(overrides: Partial<PreviewOptions> = {}) {
  const clock = { ms: 1_700_000_000_000 };
  const saved = new Map<string, TitlePosteriors>();
  const records: PreviewRecord[] = [];
  const preview = openPreview({
    packageOf: (id) => packages[id],
    sessionOf: () => undefined,
    store: {
      load: (id) => saved.get(id) ?? {},
      save: (id, posteriors) => void saved.set(id, posteriors),
      log: (record) => void records.push(record),
    },
    secret: Buffer.alloc(32, 1),
    deadlineMs: 2000,
    now: () => clock.ms,
    random: () => 0.5,
    ...overrides,
  });
  const ask = (titleId: string, sid?: string) => preview.answer({ titleId, sid, signal: new AbortController().signal });
  return { preview, ask, saved, records, clock };
}

describe('answers', () => {
  test('without a session the posterior of the title chooses', async () => {
    const { ask, records, preview } = open();
    const reply = await ask('varied');
    expect(reply).toMatchObject({ status: 200, answer: 'cohort', reason: 'no-history' });
    expect(reply.headers['cache-control']).toBe('private, no-store');
    expect(reply.headers['content-type']).toBe('application/vnd.apple.mpegurl');
    expect(reply.headers['nearcast-arm']).toMatch(/^[\w-]+\.[\w-]{43}$/);
    expect(reply.body).toMatch(/^#EXTM3U\n/);
    const [choice] = records;
    if (choice?.kind !== 'choice') throw new Error('the choice was not logged');
    expect(choice.arms.map((one) => one.arm)).toEqual(['opening', 'action', 'scenery', 'quiet']);
    expect(choice.propensity).toBe(choice.arms.find((one) => one.arm === choice.arm)?.propensity);
    expect(JSON.stringify(choice)).not.toContain('sid');
    expect(preview.stats()).toMatchObject({
      answers: { cohort: 1 },
      reasons: { 'no-history': 1 },
      rewards: { waiting: 1 },
    });
    expect(preview.stats().durationSeconds.counts.at(-1)).toBe(1);
  });

  test('a history of wild titles moves the choice to action, of calm ones to quiet', async () => {
    const chanceOf = async (watchedTitle: string, arm: string) => {
      const watched = [{ titleId: watchedTitle, watchedRatio: 1 }];
      const { ask, records } = open({ sessionOf: () => ({ watched }) });
      expect(await ask('varied', 's')).toMatchObject({ answer: 'personal', reason: 'chosen' });
      const [choice] = records;
      return choice?.kind === 'choice' ? (choice.arms.find((one) => one.arm === arm)?.propensity ?? 0) : 0;
    };
    expect(await chanceOf('wild', 'action')).toBeGreaterThan((await chanceOf('calm', 'action')) + 0.05);
    expect(await chanceOf('calm', 'quiet')).toBeGreaterThan((await chanceOf('wild', 'quiet')) + 0.05);
  });

  test('the line of the session and the height of the card choose the rendition', async () => {
    const { preview } = open({ sessionOf: () => ({ watched: [], throughputBps: 800_000 }) });
    const signal = new AbortController().signal;
    expect((await preview.answer({ titleId: 'varied', sid: 's', signal })).body).toContain('/v360/');
    expect((await preview.answer({ titleId: 'varied', heightPixels: 700, signal })).body).toContain('/v720/');
    expect((await preview.answer({ titleId: 'varied', signal })).body).toContain('/v540/');
  });

  test('a prepared title is answered by the cuts derived ahead', async () => {
    const { preview, ask } = open();
    const title = makeVariedTitle('varied', 9);
    packages['varied'] = { state: 'ready', ...published(title) };
    preview.prepare(title);
    title.shots.length = 0; // Whoever derives the cuts only now finds no shots, and so no arms.
    expect(await ask('varied')).toMatchObject({ answer: 'cohort' });
    packages['varied'] = { state: 'ready', ...published(varied) };
  });

  test.each([
    ['nobody', 404, 'none', 'unknown'],
    ['coming', 409, 'none', 'pending'],
    ['empty', 409, 'none', 'no-segments'],
    ['sealed', 200, 'default', 'foreign'],
    ['calm', 200, 'default', 'one-cut'],
  ])('%s: %i', async (titleId, status, answer, reason) => {
    const reply = await open().ask(titleId);
    expect(reply).toMatchObject({ status, answer, reason });
    expect(reply.headers['cache-control']).toBe('private, no-store');
    if (status !== 200) expect(reply.headers['nearcast-arm']).toBeUndefined();
  });
});

describe('deadline', () => {
  const slowStore = { load: never, save: never, log: () => undefined };
  const failing = () => {
    throw new Error('disk on fire');
  };

  test.each<[string, Partial<PreviewOptions>, { status: number; answer: string; reason: string }]>([
    [
      'a slow store: the default cut',
      { store: slowStore },
      { status: 200, answer: 'default', reason: 'posteriors-late' },
    ],
    [
      'a slow session: the posterior of the title',
      { sessionOf: never },
      { status: 200, answer: 'cohort', reason: 'session-late' },
    ],
    ['a slow package: the poster', { packageOf: never }, { status: 503, answer: 'none', reason: 'package-late' }],
    [
      'everything slow',
      { packageOf: never, sessionOf: never, store: slowStore },
      { status: 503, answer: 'none', reason: 'package-late' },
    ],
    [
      'a failing store',
      { store: { ...slowStore, load: failing } },
      { status: 200, answer: 'default', reason: 'posteriors-failed' },
    ],
    ['a failing session', { sessionOf: failing }, { status: 200, answer: 'cohort', reason: 'session-failed' }],
    ['a failing package', { packageOf: failing }, { status: 503, answer: 'none', reason: 'package-failed' }],
    [
      'a session that rejects',
      { sessionOf: () => Promise.reject(new Error('no')) },
      { status: 200, answer: 'cohort', reason: 'session-failed' },
    ],
  ])('%s', async (_name, overrides, expected) => {
    const { ask, preview } = open({ deadlineMs: 60, ...overrides });
    const startedAt = performance.now();
    expect(await ask('varied', 's')).toMatchObject(expected);
    expect(performance.now() - startedAt).toBeLessThan(1000);
    expect(preview.stats().reasons).toMatchObject({ [expected.reason]: 1 });
  });

  test('a viewer who leaves ends the wait at once', async () => {
    const { preview } = open({ packageOf: never, deadlineMs: 60_000 });
    const leaving = new AbortController();
    const reply = preview.answer({ titleId: 'varied', signal: leaving.signal });
    leaving.abort();
    expect(await reply).toMatchObject({ status: 503, reason: 'package-late' });
  });

  test('a log that throws costs no preview', async () => {
    const { ask, preview } = open({ store: { load: () => ({}), save: () => undefined, log: failing } });
    expect((await ask('varied')).status).toBe(200);
    expect(preview.stats().rewards.lost.records).toBe(1);
  });
});

describe('rewards', () => {
  async function shown(overrides: Partial<PreviewOptions> = {}) {
    const room = open(overrides);
    const reply = await room.ask('varied');
    const token = reply.headers['nearcast-arm'] ?? '';
    const [choice] = room.records;
    if (choice === undefined) throw new Error('the choice was not logged');
    return { ...room, token, choice };
  }

  test.each([
    ['open', 'success', { successes: 1, failures: 0 }],
    ['play', 'success', { successes: 1, failures: 0 }],
    ['unhover', 'failure', { successes: 0, failures: 1 }],
  ] as const)('%s is a %s, stored and logged under the same id', async (outcome, result, counts) => {
    const { preview, token, choice, saved, records } = await shown();
    expect(preview.reward(token, outcome)).toBe(result);
    expect(preview.reward(token, 'play')).toBe('replayed');
    await preview.close();
    expect(saved.get('varied')?.[choice.arm]).toMatchObject(counts);
    expect(records.at(-1)).toMatchObject({ kind: 'reward', id: choice.id, propensity: choice.propensity, outcome });
    expect(preview.stats().rewards).toMatchObject({ results: { [result]: 1, replayed: 1 }, waiting: 0 });
  });

  test('silence until expiry is a failure, counted once; the token is then worth nothing', async () => {
    const { preview, token, choice, saved, records, clock } = await shown();
    clock.ms += 600_000;
    preview.sweep();
    preview.sweep();
    expect(preview.reward(token, 'play')).toBe('expired');
    await preview.close();
    expect(saved.get('varied')?.[choice.arm]).toMatchObject({ successes: 0, failures: 1 });
    expect(records.filter((one) => one.kind === 'reward')).toHaveLength(1);
    expect(preview.stats().rewards).toMatchObject({ expiries: 1, waiting: 0, results: { expired: 1 } });
  });

  test('a forged token changes nothing', async () => {
    const { preview, token, saved } = await shown();
    expect(preview.reward(`${token.slice(0, -3)}AAA`, 'play')).toBe('forged');
    expect(preview.reward('nonsense', 'play')).toBe('malformed');
    await preview.close();
    expect(saved.size).toBe(0);
  });

  test('many rewards of one title at once are all stored, though the store is slow', async () => {
    const saved = new Map<string, TitlePosteriors>();
    const turn = () => new Promise((resolve) => setImmediate(resolve));
    const { ask, preview, records } = open({
      store: {
        load: async (id) => turn().then(() => saved.get(id) ?? {}),
        save: async (id, posteriors) => turn().then(() => void saved.set(id, posteriors)),
        log: (record) => void records.push(record),
      },
    });
    const replies = await Promise.all(Array.from({ length: 50 }, () => ask('varied')));
    for (const reply of replies) expect(preview.reward(reply.headers['nearcast-arm'] ?? '', 'play')).toBe('success');
    await preview.close();
    const total = Object.values(saved.get('varied') ?? {}).reduce((sum, one) => sum + one.successes, 0);
    expect(total).toBeCloseTo(50, 6);
  });

  test('a store that fails loses the reward, and says so', async () => {
    const save = () => Promise.reject(new Error('disk full'));
    const { ask, preview } = open({ store: { load: () => ({}), save, log: () => undefined } });
    const token = (await ask('varied')).headers['nearcast-arm'] ?? '';
    preview.reward(token, 'play');
    await preview.close();
    expect(preview.stats().rewards.lost.rewards).toBe(1);
  });

  test('rewards change what is shown next', async () => {
    const room = open({ random: () => 0.999 });
    for (let n = 0; n < 40; n += 1) {
      const reply = await room.ask('varied');
      const arm = room.records.at(-1)?.arm;
      room.preview.reward(reply.headers['nearcast-arm'] ?? '', arm === 'quiet' ? 'play' : 'unhover');
      await room.preview.close();
    }
    const last = room.records.findLast((one) => one.kind === 'choice');
    const chance = last?.kind === 'choice' ? last.arms.find((one) => one.arm === 'quiet')?.propensity : 0;
    expect(chance).toBeGreaterThan(0.8);
  });
});
