// The conductor from outside: who chooses, what happens when a step is late or fails, and what is made ahead.
import { describe, expect, test } from 'vitest';
import type { PackageState } from '../../../agent/preview/decide.ts';
import { createInterest } from '../../../agent/preview/interest.ts';
import { openPreview, type PreviewOptions, type PreviewRequest } from '../../../agent/preview/preview.ts';
import { openFakeChooser } from '../../fake/chooser.ts';
import { makeTitle, makeVariedTitle, published } from '../../fake/title.ts';

const never = () => new Promise<never>(() => undefined);
const failing = () => {
  throw new Error('disk on fire');
};
const varied = makeVariedTitle('varied');
const alike = (id: string, temporal: number) =>
  makeTitle(
    id,
    Array.from({ length: 9 }, () => ({ seconds: 4, features: { temporal, loudness: temporal } })),
  );
const texts = [{ id: 't', language: 'en', url: 't.vtt', segments: [] }];
const packages: Record<string, PackageState> = {
  varied: { state: 'ready', ...published(varied) },
  calm: { state: 'ready', ...published(alike('calm', 0)) },
  wild: { state: 'ready', ...published(alike('wild', 1)) },
  second: { state: 'ready', ...published(makeTitle('second', [{ seconds: 2 }])) },
  said: { state: 'ready', ...published({ ...makeTitle('said', [{ seconds: 4 }, { seconds: 4 }]), text: texts }) },
  coming: { state: 'pending' },
  sealed: {
    state: 'foreign',
    timeline: { segments: [0, 1, 2].map((n) => ({ url: `/drm/${n}.m4s`, startSeconds: n * 4, durationSeconds: 4 })) },
  },
  empty: { state: 'foreign', timeline: { segments: [] } },
};
const VTT = 'WEBVTT\n\n00:00:01.000 --> 00:00:03.000 line:90%\nHello\n\n00:00:05.000 --> 00:00:06.000\nThere\n';

function open(overrides: Partial<PreviewOptions> = {}) {
  const clock = { ms: 1_700_000_000_000 };
  const bandit = openFakeChooser();
  const preview = openPreview({
    packageOf: (id) => packages[id],
    sessionOf: () => undefined,
    bandit,
    read: async (url) => (url.endsWith('.vtt') ? Buffer.from(VTT) : undefined),
    deadlineMs: 2000,
    fileDeadlineMs: 2000,
    imagesOf: () => undefined,
    now: () => clock.ms,
    ...overrides,
  });
  const { signal } = new AbortController();
  const ask = (titleId: string, sid?: string, more: Partial<PreviewRequest> = {}) =>
    preview.answer({ titleId, sid, signal, ...more });
  return { preview, ask, bandit, clock, signal };
}
const watched = (titleId: string) => ({ sessionOf: () => ({ watched: [{ titleId, watchedRatio: 1 }] }) });

describe('answers', () => {
  test('without a session what the region likes chooses, among all arms and without a context', async () => {
    const { ask, bandit, preview } = open();
    const reply = await ask('varied');
    expect(reply).toMatchObject({ status: 200, answer: 'cohort', reason: 'no-history' });
    expect(reply.headers).toMatchObject({
      'cache-control': 'private, no-store',
      'content-type': 'application/vnd.apple.mpegurl',
      'nearcast-arm': 'token-1',
      'nearcast-why': 'cohort; theme=opening; chance=0.250',
    });
    expect(reply.body).toMatch(/^#EXTM3U\n/);
    expect(bandit.asked[0]?.arms.map(({ id }) => id)).toEqual(['opening', 'action', 'dialogue', 'scenery']);
    expect(bandit.asked[0]).not.toHaveProperty('context');
    expect(bandit.asked[0]).not.toHaveProperty('sid');
    expect(preview.stats()).toMatchObject({ answers: { cohort: 1 }, reasons: { 'no-history': 1 } });
    expect(preview.stats().durationSeconds.playlist.counts.at(-1)).toBe(1);
  });

  test('a history is a context in the space of the arms, and the answer says what is shared', async () => {
    const { ask, bandit } = open(watched('wild'));
    bandit.pick = 1;
    const reply = await ask('varied', 's');
    expect(reply).toMatchObject({ answer: 'personal', reason: 'chosen' });
    expect(reply.headers['nearcast-why']).toMatch(/^personal; theme=action; chance=0\.250; like=\w+(,\w+)?$/);
    const [asked] = bandit.asked;
    expect(asked?.context?.length).toBe(asked?.arms[0]?.features.length);
    expect(asked?.context?.[1]).toBeCloseTo(1, 6);
  });

  test('a cut that is named is the same for everybody: nobody chooses, and it may be kept', async () => {
    const { ask, bandit } = open(watched('wild'));
    const reply = await ask('varied', 's', { arm: 'scenery' });
    expect(reply).toMatchObject({ status: 200, answer: 'default', reason: 'asked' });
    expect(reply.headers).toMatchObject({ 'cache-control': 'public, max-age=60' });
    expect(reply.headers).not.toHaveProperty('nearcast-arm');
    expect(bandit.asked).toEqual([]);
    expect(await ask('varied', 's', { arm: 'nonsense' })).toMatchObject({ status: 404, reason: 'no-cut' });
  });

  test('who is held out of previews gets none', async () => {
    const { ask, bandit } = open();
    bandit.isHeldOut = true;
    expect(await ask('varied')).toMatchObject({ status: 409, answer: 'none', reason: 'holdout' });
    expect(bandit.shownArms).toEqual([]);
  });

  test('line, screen and decoders choose the rendition', async () => {
    const { ask } = open({ sessionOf: () => ({ watched: [], throughputBps: 800_000 }) });
    expect((await ask('varied', 's')).body).toContain('/v360/');
    expect((await ask('varied', undefined, { hint: { heightPixels: 700 } })).body).toContain('/v720/');
    expect((await ask('varied', undefined, { hint: { throughputBps: 800_000 } })).body).toContain('/v360/');
    expect((await ask('varied')).body).toContain('/v540/');
  });

  test('what viewers did in a title changes its cuts', async () => {
    const interest = createInterest();
    const { ask, bandit } = open({ interestOf: interest.of });
    bandit.pick = 1;
    const before = (await ask('varied')).body;
    for (let count = 0; count < 200; count += 1)
      interest.heard(
        { type: 'seek', titleId: 'varied', positionSeconds: 60 + (count % 20) },
        varied.durationSeconds,
        1,
      );
    expect((await ask('varied')).body).not.toBe(before);
  });

  test('captions are those of the cut, in its time', async () => {
    const { ask, preview, signal } = open();
    const { headers } = await ask('said');
    const [, arm] = /^\/\.nearcast\/preview\/said\.vtt\?cut=(\w+)$/.exec(headers['nearcast-captions'] ?? '') ?? [];
    const reply = await preview.captions({ titleId: 'said', arm, signal });
    expect(reply).toMatchObject({ status: 200, headers: { 'content-type': 'text/vtt; charset=utf-8' } });
    expect(reply.body).toBe('WEBVTT\n\n00:00:01.000 --> 00:00:03.000 line:90%\nHello\n');
    expect(await preview.captions({ titleId: 'said', arm, language: 'fr', signal })).toMatchObject({
      reason: 'no-text',
    });
    expect(await preview.captions({ titleId: 'varied', arm: 'scenery', signal })).toMatchObject({ status: 404 });
    expect((await ask('varied')).headers).not.toHaveProperty('nearcast-captions');
  });

  test('captions as a group: the choice is told once, its playlists are the same for everybody', async () => {
    const { ask, preview, bandit, signal } = open();
    const master = await ask('said', undefined, { hasCaptions: true, hint: { heightPixels: 300 } });
    expect(master.headers).toMatchObject({ 'nearcast-arm': 'token-1', 'cache-control': 'private, no-store' });
    const [arm = ''] = /cut=(\w+)/.exec(String(master.body))?.slice(1) ?? [];
    expect(master.body).toContain(`/.nearcast/preview/said.m3u8?cut=${arm}&maxHeight=300\n`);
    expect(master.body).toContain(`LANGUAGE="en",AUTOSELECT=NO,URI="/.nearcast/preview/said.m3u8?cut=${arm}&text=t"`);
    const list = await ask('said', undefined, { arm, text: 't' });
    expect(list).toMatchObject({ status: 200, headers: { 'cache-control': 'public, max-age=60' } });
    expect(list.body).toContain(`/.nearcast/preview/said.vtt?cut=${arm}&text=t&run=0\n`);
    const segment = await preview.captions({ titleId: 'said', arm, text: 't', run: 0, signal });
    expect(segment.body).toBe(
      'WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:10.000\n\n00:00:01.000 --> 00:00:03.000 line:90%\nHello\n',
    );
    expect(await preview.captions({ titleId: 'said', arm, text: 't', run: 9, signal })).toMatchObject({ status: 409 });
    expect(await preview.captions({ titleId: 'said', arm, text: 'x', run: 0, signal })).toMatchObject({ status: 404 });
    expect(await ask('said', undefined, { arm, text: 'x' })).toMatchObject({ status: 409 });
    expect(bandit.shownArms).toHaveLength(1);
  });

  test.each([
    ['nobody', 404, 'none', 'unknown'],
    ['coming', 409, 'none', 'pending'],
    ['empty', 409, 'none', 'no-segments'],
    ['sealed', 200, 'default', 'foreign'],
    ['calm', 200, 'default', 'one-cut'],
    ['second', 200, 'default', 'one-cut'],
  ])('%s: %i', async (titleId, status, answer, reason) => {
    const reply = await open().ask(titleId);
    expect(reply).toMatchObject({ status, answer, reason });
    expect(reply.headers['cache-control']).toBe('private, no-store');
    if (status !== 200) expect(reply.headers['nearcast-arm']).toBeUndefined();
  });

  test('a file of what is not there, or not ours, is refused', async () => {
    const { preview, signal } = open();
    const film = async (titleId: string) => (await preview.film({ titleId, signal })).reason;
    expect(await film('varied')).toBe('media-missing');
    expect(await film('sealed')).toBe('foreign');
    expect(await film('coming')).toBe('pending');
    expect(await film('nobody')).toBe('unknown');
    expect(preview.stats().films.skipped.missing).toBeGreaterThan(2);
  });
});

describe('deadline', () => {
  const rejecting = { sessionOf: () => Promise.reject(new Error('no')) };
  test.concurrent.each<[string, Partial<PreviewOptions>, { status: number; answer: string; reason: string }, object]>([
    [
      'a slow session: what the region likes',
      { sessionOf: never },
      { status: 200, answer: 'cohort', reason: 'taste-late' },
      { taste: 1 },
    ],
    [
      'a slow package: the poster',
      { packageOf: never },
      { status: 503, answer: 'none', reason: 'package-late' },
      { package: 1 },
    ],
    [
      'everything slow',
      { packageOf: never, sessionOf: never },
      { status: 503, answer: 'none', reason: 'package-late' },
      { package: 1 },
    ],
    [
      'a failing chooser',
      { bandit: { choose: failing, shown: failing } },
      { status: 200, answer: 'default', reason: 'choice-failed' },
      {},
    ],
    ['a failing session', { sessionOf: failing }, { status: 200, answer: 'cohort', reason: 'taste-failed' }, {}],
    ['a failing package', { packageOf: failing }, { status: 503, answer: 'none', reason: 'package-failed' }, {}],
    ['a session that rejects', rejecting, { status: 200, answer: 'cohort', reason: 'taste-failed' }, {}],
  ])('%s', async (_name, overrides, expected, late) => {
    const { ask, preview } = open({ deadlineMs: 600, ...overrides });
    const startedAt = performance.now();
    expect(await ask('varied', 's')).toMatchObject(expected);
    expect(performance.now() - startedAt).toBeLessThan(5000);
    expect(preview.stats()).toMatchObject({ reasons: { [expected.reason]: 1 }, late });
  });

  test('when all the time is over before anybody could choose, it is the default', async () => {
    const slow = (id: string) => {
      for (const until = performance.now() + 30; performance.now() < until; );
      return packages[id];
    };
    const { ask, preview, bandit } = open({ packageOf: slow, deadlineMs: 20 });
    expect(await ask('varied')).toMatchObject({ status: 200, answer: 'default', reason: 'choice-late' });
    expect(preview.stats().late.choice).toBe(1);
    expect(bandit.asked).toEqual([]);
  });

  test('a package that is late a second time is the one of before, though another stands at the door', async () => {
    let isSlow = false;
    const { ask } = open({ packageOf: (id) => (isSlow ? never() : packages[id]), deadlineMs: 60 });
    await ask('varied');
    isSlow = true;
    expect((await ask('varied')).status).toBe(200);
    expect(await ask('calm')).toMatchObject({ status: 503, reason: 'package-late' });
  });

  test('a viewer who leaves ends the wait at once', async () => {
    const { preview } = open({ packageOf: never, deadlineMs: 60_000 });
    const leaving = new AbortController();
    const reply = preview.answer({ titleId: 'varied', signal: leaving.signal });
    leaving.abort();
    expect(await reply).toMatchObject({ status: 503, reason: 'package-late' });
  });
});

describe('ahead of the ask', () => {
  test('a preview is decided once, shown once, and its beginning is known', async () => {
    const { ask, bandit, preview } = open(watched('wild'));
    await ask('varied', 's', { hint: { heightPixels: 700 } });
    const objects = await preview.expect({ titleIds: ['varied', 'nobody', 'coming', 'sealed'], sid: 's' });
    expect(objects.length).toBeGreaterThanOrEqual(2);
    expect(objects[0]?.url).toBe('/titles/varied/0123456789abcdef/v720/init.mp4');
    expect(bandit.shownArms).toHaveLength(1);
    const asks = bandit.asked.length;
    const reply = await ask('varied', 's');
    for (const { url } of objects) expect(reply.body).toContain(url.replace('/v720/', '/v540/'));
    expect(bandit.asked).toHaveLength(asks);
    expect(bandit.shownArms).toHaveLength(2);
    await ask('varied', 's');
    expect(bandit.asked).toHaveLength(asks + 1);
    expect(preview.stats().ahead).toEqual({ decided: 1, used: 1, unused: 0 });
  });

  test("one viewer's is not another's", async () => {
    const { ask, bandit, preview } = open(watched('wild'));
    await preview.expect({ titleIds: ['varied'], sid: 'a' });
    await ask('varied', 'b');
    await ask('varied');
    expect(bandit.asked).toHaveLength(3);
  });

  test.each([
    ['an hour later', 3_600_000],
    ['after the clock was set back a day', -86_400_000],
  ])('%s it is decided anew', async (_name, ms) => {
    const { ask, bandit, preview, clock } = open();
    await preview.expect({ titleIds: ['varied'] });
    clock.ms += ms;
    expect((await ask('varied')).status).toBe(200);
    expect(bandit.asked).toHaveLength(2);
    expect(preview.stats().ahead).toEqual({ decided: 1, used: 0, unused: 1 });
  });
});

test('a package that is replaced between two asks gives the new one, and the old playlist stays whole', async () => {
  let now: PackageState | undefined = packages['varied'];
  const { ask } = open({ packageOf: () => now });
  const before = String((await ask('varied')).body);
  const other = { ...makeVariedTitle('varied', 5), hash: 'fedcba9876543210' };
  now = { state: 'ready', ...published(other) };
  const after = String((await ask('varied')).body);
  expect(new Set(before.match(/\/[0-9a-f]{16}\//g))).toEqual(new Set(['/0123456789abcdef/']));
  expect(new Set(after.match(/\/[0-9a-f]{16}\//g))).toEqual(new Set(['/fedcba9876543210/']));
});
