// What titles are worth at a node: expected views of the region times what its own packages have saved; and why a title
// of the catalogue is not encoded.
import { expect, test } from 'vitest';
import type { CatalogueTitle } from '../../agent/catalogue.ts';
import { openWorth, type WorthOptions } from '../../agent/encode-worth.ts';
import type { EncodeStatus } from '../../agent/encodes.ts';
import type { Package } from '../../agent/packages.ts';
import type { Title } from '../../encoder/contract.ts';
import { makeTitle } from '../fake/title.ts';

const TITLES: readonly CatalogueTitle[] = [
  { id: 'hit', durationSeconds: 3_600 },
  { id: 'long', durationSeconds: 7_200 },
  { id: 'short', durationSeconds: 60, manifestUrl: '/titles/short/master.m3u8' },
  { id: 'drm', source: 'sealed' },
  { id: 'other', manifestUrl: '/other/p.m3u8' },
  { id: 'ready' },
];
const ready: Title = {
  ...makeTitle('ready', [{ seconds: 3_600 }]),
  savings: { referenceBps: 8_000_000, cap: 0.3, pruning: 0.2, allocation: 0.1 },
  cost: { cpuSeconds: 36_000 },
};

function open(part: Partial<WorthOptions> = {}) {
  let asked = 0;
  let now = 0;
  const published = (id: string) => (id === 'ready' ? { id, name: id, durationSeconds: 3_600 } : undefined);
  const worth = openWorth({
    catalogue: {
      title: (id) => TITLES.find((title) => title.id === id),
      titles: () => TITLES,
      // Worth asks only whether there is one, and how long it is.
      published: published as unknown as WorthOptions['catalogue']['published'],
      // Of a package only its title.json is read.
      package: async (id) => (id === 'ready' ? ({ title: ready } as unknown as Package) : undefined),
    },
    demand: () => {
      asked += 1;
      return [
        { titleId: 'hit', score: 0.5, reasons: ['popular'] },
        { titleId: 'long', score: 0.25, reasons: ['popular'] },
      ];
    },
    expectedViews: (days) => days * 10,
    hoursAWeek: () => undefined,
    publishPath: '/titles/',
    now: () => now,
    ...part,
  });
  return {
    worth,
    asked: () => asked,
    wait: (ms: number) => {
      now += ms;
    },
  };
}

test('is what its share of 14 days of views would spare, and is asked for once a minute', () => {
  const { worth, asked, wait } = open();
  expect(worth.worthOf('hit', 0).watchHours).toBeCloseTo(70, 9);
  expect(worth.worthOf('long', 0).watchHours).toBeCloseTo(70, 9);
  expect(worth.worthOf('unknown', 0)).toMatchObject({ watchHours: 0, pays: false });
  expect(asked()).toBe(1);
  wait(60_000);
  worth.worthOf('hit', 0);
  expect(asked()).toBe(2);
});

test('learns from packages that are there and from new ones, but not from one that was found again', async () => {
  const { worth } = open();
  const before = worth.worthOf('hit', 0).savedBytes;
  await worth.readPackages();
  const after = worth.worthOf('hit', 0);
  expect(after.savedBytes).toBeGreaterThan(before * 2);
  worth.learned({ ...ready, cost: { cpuSeconds: 0 } });
  expect(worth.worthOf('hit', 0)).toEqual(after);
  for (let count = 0; count < 60; count += 1) worth.learned(ready);
  expect(worth.worthOf('hit', 0).savedBytes / before).toBeGreaterThan(after.savedBytes / before);
  expect(worth.worthOf('hit', 0).cpuHours).toBeCloseTo(10, 0);
});

test('of a title that is in no queue comes with the reason', () => {
  const failed: EncodeStatus = {
    ...{ id: 'short', name: 'short', state: 'failed', step: 'failed', progressRatio: 0 },
    failure: { code: 'ENCODER_INPUT_CORRUPT', message: '' },
  };
  const running: EncodeStatus = { id: 'long', name: 'long', state: 'running', step: 'trial', progressRatio: 0.5 };
  const listed = open().worth.notEncoded([failed, running]);
  expect(listed.map(({ id, why, code }) => [id, why, code])).toEqual([
    ['hit', 'no-source', undefined],
    ['short', 'failed', 'ENCODER_INPUT_CORRUPT'],
    ['drm', 'sealed', undefined],
    ['other', 'elsewhere', undefined],
  ]);
});

test('of a title that is watched here, the hours that are forecast count, whole views or not', () => {
  const { worth } = open({ hoursAWeek: (id) => (id === 'long' ? 30 : undefined) });
  // Two weeks of 30 hours, of a title of two hours.
  expect(worth.worthOf('long', 0).watchHours).toBeCloseTo(60);
  expect(worth.worthOf('hit', 0).watchHours).toBeCloseTo(70);
});
