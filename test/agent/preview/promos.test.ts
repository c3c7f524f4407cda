// Promos: who may be shown one, how a day's budget is spread, and how a slot is filled.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openAds } from '../../../agent/preview/ads.ts';
import { openDecider } from '../../../agent/preview/decide.ts';
import { openFilms } from '../../../agent/preview/films.ts';
import { chooseMoments } from '../../../agent/preview/moments.ts';
import { allowedBy, eligiblePromos, fillSlot, parsePromos, type Seen, spend } from '../../../agent/preview/promos.ts';
import { openFakeChooser } from '../../fake/chooser.ts';
import { makeVariedTitle, published } from '../../fake/title.ts';

const NOON = Date.UTC(2026, 0, 1, 12);
const HOUR = 3_600_000;
const list = (...promos: object[]) =>
  parsePromos(
    JSON.stringify({ version: 1, promos: promos.map((promo) => ({ titleId: 'film', perDay: 100, ...promo })) }),
  );
const limits = { perViewerPerHour: 3, noRepeatWithin: 1 };
const none = { day: 0, shown: new Map<string, number>() };

describe('who may be shown a promo', () => {
  const promos = list({ id: 'a' }, { id: 'b' });
  const idsFor = (seen: Seen, now = NOON) => {
    const found = eligiblePromos(promos, { seen, spent: none, limits, now });
    return typeof found === 'string' ? found : found.map(({ id }) => id);
  };

  test('nobody more often than so in an hour, nor the same promo twice running', () => {
    expect(idsFor([])).toEqual(['a', 'b']);
    expect(idsFor([{ promo: 'a', at: NOON - 60_000 }])).toEqual(['b']);
    const three = [3, 2, 1].map((minutes) => ({ promo: 'a', at: NOON - minutes * 60_000 }));
    expect(idsFor(three)).toBe('capped');
    expect(idsFor(three, NOON + HOUR)).toEqual(['b']);
    const only = eligiblePromos(list({ id: 'a' }), { seen: [{ promo: 'a', at: 0 }], spent: none, limits, now: NOON });
    expect(only).toBe('repeat');
  });

  test('after the clock was set back nobody is shown more', () => {
    const three = [1, 2, 3].map((hours) => ({ promo: 'a', at: NOON + hours * HOUR }));
    expect(idsFor(three)).toBe('capped');
  });

  test('not before its time nor after it', () => {
    const timed = list({ id: 'a', from: '2026-01-01T11:00:00Z', until: '2026-01-01T13:00:00Z' });
    const at = (now: number) => eligiblePromos(timed, { seen: [], spent: none, limits, now });
    expect(at(NOON)).toEqual(timed);
    expect(at(NOON - 2 * HOUR)).toBe('no-promo');
    expect(at(NOON + HOUR)).toBe('no-promo');
  });

  test("a day's budget is spread over the day, and never exceeded", () => {
    const [promo] = list({ id: 'a', perDay: 240 });
    if (promo === undefined) throw new Error('no promo');
    let spent: ReturnType<typeof spend> = none;
    const day = Math.floor(NOON / 86_400_000) * 86_400_000;
    for (let minute = 0; minute < 1440; minute += 1) {
      const now = day + minute * 60_000;
      for (let asked = 0; asked < 2; asked += 1) {
        if (eligiblePromos([promo], { seen: [], spent, limits, now }) === 'budget') continue;
        spent = spend(spent, 'a', now);
      }
      const shown = spent.shown.get('a') ?? 0;
      expect(shown).toBeLessThanOrEqual(allowedBy(promo, now));
      if (minute > 60) expect(shown).toBeGreaterThan((240 * minute) / 1440 - 3);
    }
    expect(spent.shown.get('a')).toBe(240);
    expect(eligiblePromos([promo], { seen: [], spent, limits, now: day + 86_400_000 })).toEqual([promo]);
    expect(eligiblePromos([promo], { seen: [], spent, limits, now: day - 1 })).toBe('budget');
    expect(spend(spent, 'a', day - HOUR)).toMatchObject({ day: spent.day });
  });

  test.each([
    ['no JSON', '{'],
    ['no list', '{"version":1}'],
    ['another version', '{"version":2,"promos":[]}'],
    ['no id', '{"version":1,"promos":[{"titleId":"f","perDay":1}]}'],
    ['no title', '{"version":1,"promos":[{"id":"a","perDay":1}]}'],
    ['no budget', '{"version":1,"promos":[{"id":"a","titleId":"f"}]}'],
    ['an id with a slash', '{"version":1,"promos":[{"id":"a/b","titleId":"f","perDay":1}]}'],
    ['no time', '{"version":1,"promos":[{"id":"a","titleId":"f","perDay":1,"until":"soon"}]}'],
    ['an id twice', JSON.stringify({ version: 1, promos: [1, 2].map(() => ({ id: 'a', titleId: 'f', perDay: 1 })) })],
  ])('a list with %s is refused', (_name, text) => {
    expect(() => parsePromos(text)).toThrow();
  });
});

test('a slot is filled to its length, never beyond, with whole segments of what may be shown', () => {
  const title = makeVariedTitle('film');
  const endSeconds = title.durationSeconds * 0.85;
  const cuts = chooseMoments(title);
  const edges = new Set(title.renditions[0]?.segments.map(({ startTicks }) => startTicks / 12_288));
  fc.assert(
    fc.property(fc.double({ min: 3, max: 120, noNaN: true }), fc.nat(cuts.length - 1), (seconds, which) => {
      const spans = fillSlot(title, cuts[which]?.moments ?? [], { seconds, endSeconds });
      if (spans === undefined) {
        expect(seconds).toBeLessThan(12);
        return;
      }
      const filled = spans.reduce((sum, { durationSeconds }) => sum + durationSeconds, 0);
      expect(filled).toBeLessThanOrEqual(seconds + 1e-6);
      expect(filled).toBeGreaterThanOrEqual(seconds * 0.75);
      for (const { startSeconds, durationSeconds } of spans) {
        expect(edges).toContain(startSeconds);
        expect(startSeconds + durationSeconds).toBeLessThanOrEqual(endSeconds + 1e-6);
      }
    }),
    { numRuns: 100 },
  );
  expect(fillSlot(title, cuts[0].moments, { seconds: 1000, endSeconds })).toBeUndefined();
});

describe('slots', () => {
  function open(sessions: ReadonlySet<string>, spent?: string) {
    const clock = { ms: NOON };
    const film = published(makeVariedTitle('film'));
    const bandit = openFakeChooser();
    const decider = openDecider(
      {
        packageOf: (id) => (id === 'film' ? { state: 'ready', ...film } : undefined),
        sessionOf: () => undefined,
        bandit,
      },
      () => undefined,
    );
    const filmed = { bytes: Buffer.from('film'), seconds: 9, skipped: 0, placed: [] };
    const films = { ...openFilms({ read: async () => undefined }), film: async () => filmed };
    const ads = openAds({
      promos: () => list({ id: 'a', perDay: 4 }),
      limits: { perViewerPerHour: 2, noRepeatWithin: 0 },
      mayRemember: (sid) => sessions.has(sid),
      ...{ decider, bandit, films, secret: Buffer.alloc(32, 7), deadlineMs: 5_000, spent, now: () => clock.ms },
    });
    const fill = (sid?: string, note?: string) =>
      ads.fill({ seconds: 10, sid, note, hint: {}, signal: new AbortController().signal });
    return { ads, fill, bandit, clock };
  }

  test('remember who consented, and nothing of others', async () => {
    const { fill, ads, clock } = open(new Set(['known']));
    expect((await fill('known')).outcome).toBe('filled');
    expect((await fill('known')).outcome).toBe('filled');
    expect((await fill('known')).outcome).toBe('capped');
    expect((await fill('other')).outcome).toBe('budget');
    clock.ms += 12 * HOUR;
    expect((await fill('other')).outcome).toBe('budget');
    clock.ms += 6 * HOUR;
    expect((await fill('other')).outcome).toBe('filled');
    ads.sweep();
    expect(ads.stats()).toMatchObject({ filled: 3, capped: 1, budget: 2 });
  });

  test('a note of another key, or a day old, counts nothing', async () => {
    const { fill, clock } = open(new Set());
    const first = await fill();
    const note = first.outcome === 'filled' ? first.note : '';
    const again = await fill(undefined, note);
    const both = again.outcome === 'filled' ? again.note : '';
    expect((await fill(undefined, both)).outcome).toBe('capped');
    expect((await fill(undefined, `${both.slice(0, -4)}AAAA`)).outcome).toBe('budget');
    clock.ms += 25 * HOUR;
    expect((await fill(undefined, both)).outcome).toBe('filled');
  });

  test('what was spent outlasts a restart; what cannot be read begins anew', async () => {
    const { fill, ads } = open(new Set());
    await fill();
    await fill();
    expect((await fill()).outcome).toBe('budget');
    expect((await open(new Set(), ads.snapshot()).fill()).outcome).toBe('budget');
    for (const broken of ['', '{', '[]', 'null', '{"version":9}'])
      expect((await open(new Set(), broken).fill()).outcome).toBe('filled');
  });

  test('who is held out sees none, and nothing is spent on them', async () => {
    const { fill, bandit } = open(new Set());
    bandit.isHeldOut = true;
    expect((await fill()).outcome).toBe('holdout');
    bandit.isHeldOut = false;
    expect((await fill()).outcome).toBe('filled');
    expect((await fill()).outcome).toBe('filled');
  });
});
