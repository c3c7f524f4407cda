// The conductor from outside: who chooses, what happens when a step is late or fails, and where rewards go.
import { describe, expect, test } from 'vitest';
import { openPreview, type PackageState, type PreviewOptions } from '../../../agent/preview/preview.ts';
import { fakeBandit } from '../../fake/bandit.ts';
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

function open(overrides: Partial<PreviewOptions> = {}, made = fakeBandit()) {
  const { bandit, store, clock } = made;
  const preview = openPreview({
    packageOf: (id) => packages[id],
    sessionOf: () => undefined,
    bandit,
    deadlineMs: 2000,
    ...overrides,
  });
  const ask = (titleId: string, sid?: string) => preview.answer({ titleId, sid, signal: new AbortController().signal });
  return { preview, ask, bandit, records: store.log, clock };
}

describe('answers', () => {
  test('without a session the posterior of the title chooses', async () => {
    const { ask, records, preview } = open();
    const reply = await ask('varied');
    expect(reply).toMatchObject({ status: 200, answer: 'cohort', reason: 'no-history' });
    expect(reply.headers['cache-control']).toBe('private, no-store');
    expect(reply.headers['content-type']).toBe('application/vnd.apple.mpegurl');
    expect(reply.headers['nearcast-arm']).toMatch(/^[\w-]{100,700}$/);
    expect(reply.body).toMatch(/^#EXTM3U\n/);
    const [choice] = records;
    expect(choice).toMatchObject({ slot: 'preview', titleId: 'varied', policy: 'linucb' });
    expect(choice?.arms).toEqual(['opening', 'action', 'scenery', 'quiet']);
    expect(choice?.propensities[choice.chosen]).toBeGreaterThan(0);
    expect(JSON.stringify(choice)).not.toContain('sid');
    expect(preview.stats()).toMatchObject({
      answers: { cohort: 1 },
      reasons: { 'no-history': 1 },
    });
    expect(preview.stats().durationSeconds.counts.at(-1)).toBe(1);
  });

  test('a history makes the answer personal', async () => {
    const watched = [{ titleId: 'wild', watchedRatio: 1 }];
    const { ask } = open({ sessionOf: () => ({ watched }) });
    expect(await ask('varied', 's')).toMatchObject({ answer: 'personal', reason: 'chosen' });
  });

  test('who is held out gets no preview and no token, and is counted as exposed', async () => {
    const exposed: string[] = [];
    const holdout = fakeBandit({ assign: () => ({ isHeldOut: true }), exposed: (sid) => void exposed.push(sid) });
    const { ask } = open({ sessionOf: () => ({ watched: [] }) }, holdout);
    const reply = await ask('varied', 's');
    expect(reply).toMatchObject({ status: 409, answer: 'none', reason: 'held-out' });
    expect(reply.headers['nearcast-arm']).toBeUndefined();
    expect(exposed).toEqual(['s']);
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
  const failing = () => {
    throw new Error('disk on fire');
  };

  test.each<[string, Partial<PreviewOptions>, { status: number; answer: string; reason: string }]>([
    [
      'a slow session: chosen as for all viewers',
      { sessionOf: never },
      { status: 200, answer: 'cohort', reason: 'session-late' },
    ],
    ['a slow package: the poster', { packageOf: never }, { status: 503, answer: 'none', reason: 'package-late' }],
    [
      'everything slow',
      { packageOf: never, sessionOf: never },
      { status: 503, answer: 'none', reason: 'package-late' },
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
});
