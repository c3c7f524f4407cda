// The workload generator: as concentrated, released and timed as measured, the same for a seed, and frozen.
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { trueRates } from '../../../agent/simulate/true-rates.ts';
import {
  CHUNK_SECONDS,
  EDGE_WORKLOAD,
  type EdgeWorkload,
  hoursOf,
  LAUNCH_WEEKS,
  makeTitles,
  makeViews,
  requestsOfViews,
  seededChance,
  withoutFollowUps,
} from '../../../agent/simulate/workload.ts';
import { lru } from '../../../cache/rules/eviction/lru.ts';
import { s3fifo } from '../../../cache/rules/eviction/s3fifo.ts';
import { footprintBytes, simulate } from '../../../cache/rules/eviction/simulate.ts';

const SMALL: EdgeWorkload = { ...EDGE_WORKLOAD, titles: 400, viewsPerDay: 400 };
const play = (workload: EdgeWorkload, region = 0) => {
  const titles = makeTitles(workload);
  const views = makeViews(workload, titles, region);
  return { titles, views, requests: requestsOfViews(workload, titles, views) };
};

describe('workload', () => {
  test('asks for what it asked for when figures were first quoted', () => {
    const { objects, bytes, at } = play({ ...EDGE_WORKLOAD, titles: 400, days: 7, viewsPerDay: 500 }).requests;
    const hash = createHash('sha256').update(objects).update(bytes).update(at).digest('hex');
    expect(hash).toBe('a8883998f0e09605a43a5fef420092e322a32fc262566d6dbb236da4b4fe98af');
  });

  test('the true rates are those of all views that begin with a part, next episodes and repeated ones too', () => {
    const workload = { ...SMALL, viewsPerDay: 800 };
    const { titles, views, requests } = play(workload);
    const rate = trueRates(workload, titles);
    expect(requests.begins.reduce((sum, one) => sum + one, 0)).toBe(views.length);
    const days = Array.from({ length: workload.days }, (_, day) => day);
    const due = (title: number, part: number) => days.reduce((sum, day) => sum + rate(title, part, day), 0);
    const begun = views.filter(({ firstChunk }) => firstChunk === 0);
    const drawn = (title: number, part: number) =>
      begun.filter((view) => view.title === title && view.part === part).length;
    const within = (seen: number, expected: number) =>
      expect(Math.abs(seen - expected)).toBeLessThan(4 * Math.sqrt(expected));
    const all = titles.flatMap(({ chunks }, title) => chunks.map((_, part) => due(title, part)));
    // Who begins one episode begins others: views come in bunches, and their sum varies more than each.
    expect(Math.abs(begun.length / all.reduce((sum, each) => sum + each, 0) - 1)).toBeLessThan(0.02);
    const series = titles.findIndex(({ chunks }, title) => chunks.length > 1 && due(title, 0) > 0);
    const film = titles.findIndex(({ chunks }, title) => chunks.length === 1 && due(title, 0) > 0);
    for (const [title, part] of [
      [series, 0],
      [series, 1],
      [series, 3],
      [film, 0],
    ] as const) {
      within(drawn(title, part), due(title, part));
    }
    expect([rate(titles.length, 0, 0), rate(series, 99, 0), rate(series, 0, 99)]).toEqual([0, 0, 0]);
  });

  test('without follow-ups they are the views that begin of themselves', () => {
    const workload = { ...withoutFollowUps(SMALL), repeat: 0 };
    const rate = trueRates(workload, makeTitles(workload));
    const all = Array.from({ length: workload.days }, (_, day) =>
      Array.from({ length: workload.titles }, (_each, title) => rate(title, 0, day)).reduce(
        (sum, each) => sum + each,
        0,
      ),
    );
    expect(all.reduce((sum, each) => sum + each, 0)).toBeCloseTo(workload.days * workload.viewsPerDay, 3);
  });

  test('hours by title are as concentrated as measured', () => {
    for (const [titles, hours] of [
      [0.01, 0.267],
      [0.05, 0.554],
      [0.1, 0.711],
      [0.2, 0.856],
      [1, 1],
    ] as const) {
      expect(hoursOf(titles)).toBeCloseTo(hours, 10);
    }
    // Everywhere offered and of one taste, and nothing released: what is drawn follows the curve.
    const even = {
      ...withoutFollowUps(EDGE_WORKLOAD),
      days: 7,
      titles: 1000,
      offered: 1,
      regionSpread: 0,
      launched: 0,
    };
    const { views } = play(even);
    for (const share of [0.01, 0.05, 0.2]) {
      const drawn = views.filter(({ title }) => title < even.titles * share).length / views.length;
      expect(Math.abs(drawn - hoursOf(share))).toBeLessThan(0.006);
    }
  });

  test('a released title is watched by the weeks that were measured, and not before', () => {
    const launched = { ...withoutFollowUps(SMALL), launched: 1, offered: 1, viewsPerDay: 3000, repeat: 0 };
    const { titles, views } = play(launched);
    const counts = [0, 0, 0, 0];
    for (const { title, tick } of views) {
      const age = tick / 288 - (titles[title]?.releaseDay ?? 0);
      if (age < 0) expect.unreachable('before its release');
      const isWhole = titles[title]?.releaseDay === 0;
      if (isWhole) counts[Math.floor(age / 7)] = (counts[Math.floor(age / 7)] ?? 0) + 1;
    }
    const all = counts.reduce((sum, count) => sum + count, 0);
    const weeks = LAUNCH_WEEKS.slice(0, 4);
    const total = weeks.reduce((sum, week) => sum + week, 0);
    expect(all).toBeGreaterThan(100);
    for (const [week, count] of counts.entries()) {
      const expected = (weeks[week] ?? 0) / total;
      expect(Math.abs(count / all - expected)).toBeLessThan(4 * Math.sqrt((expected * (1 - expected)) / all));
    }
  });

  test('evenings are busy, devices have their shares, titles are hovered over before they are played', () => {
    const { views } = play({ ...SMALL, viewsPerDay: 2000 });
    const chosen = views.filter(({ hovers }) => hovers.length > 0);
    const hour = (at: number) => chosen.filter(({ tick }) => Math.floor(tick / 12) % 24 === at).length;
    expect(hour(21) / hour(4)).toBeGreaterThan(5);
    expect(chosen.filter(({ device }) => device === 0).length / chosen.length).toBeCloseTo(0.6, 1);
    expect(chosen.every(({ hovers, title }) => hovers.at(-1) === title)).toBe(true);
    const hovered = chosen.reduce((sum, { hovers }) => sum + hovers.length - 1, 0);
    expect(hovered / chosen.length).toBeCloseTo(2, 0);
  });

  test('series go on with the next episode, and who left comes back to where that was', () => {
    const { titles, views } = play(SMALL);
    const later = views.filter(({ hovers }) => hovers.length === 0);
    expect(later.some(({ firstChunk }) => firstChunk > 0)).toBe(true);
    expect(later.some(({ part, firstChunk }) => part > 0 && firstChunk === 0)).toBe(true);
    for (const { title, part, firstChunk, chunks } of views) {
      if (firstChunk + chunks > (titles[title]?.chunks[part] ?? 0)) expect.unreachable('past the end of a part');
    }
    const plain = play(withoutFollowUps({ ...SMALL, repeat: 0 })).views;
    expect(plain.every(({ hovers, firstChunk, part }) => hovers.length > 0 && firstChunk === 0 && part === 0)).toBe(
      true,
    );
  });

  test('requests follow their views, in order, and add up', () => {
    const { titles, views, requests } = play(SMALL);
    const end = SMALL.days * 86_400;
    const asked = views.map(({ tick, chunks }) => Math.min(chunks, end / CHUNK_SECONDS - tick));
    expect(requests.objects).toHaveLength(asked.reduce((sum, chunks) => sum + chunks, 0));
    expect(requests.at.every((at, index) => at < end && at >= (requests.at[index - 1] ?? 0))).toBe(true);
    expect(requests.objects.every((object) => object < requests.count)).toBe(true);
    const sizes = new Map<number, number>();
    for (const [index, object] of requests.objects.entries()) {
      const bytes = requests.bytes[index] ?? 0;
      if (sizes.get(object) !== bytes) expect(sizes.has(object)).toBe(false);
      sizes.set(object, bytes);
    }
    expect(footprintBytes(requests)).toBeLessThan(requests.catalogueBytes);
    const chunks = titles.reduce((sum, title) => sum + title.chunks.reduce((most, one) => most + one, 0), 0);
    expect(requests.count).toBe(chunks * SMALL.devices.length);
  });

  test('is the same for the same seed, and another for another seed or region', () => {
    expect(play(SMALL)).toEqual(play(SMALL));
    expect(play({ ...SMALL, seed: 6 }).views).not.toEqual(play(SMALL).views);
    expect(play(SMALL, 1).views).not.toEqual(play(SMALL).views);
    expect(play(SMALL, 1).titles).toEqual(play(SMALL).titles);
    const chance = seededChance(1);
    expect([chance(), chance(), chance()].map((one) => one.toFixed(6))).toMatchInlineSnapshot(`
      [
        "0.367876",
        "0.081613",
        "0.820536",
      ]
    `);
  });

  test('is frozen', () => {
    expect(EDGE_WORKLOAD).toMatchInlineSnapshot(`
      {
        "days": 28,
        "devices": [
          {
            "bitsPerSecond": 4500000,
            "name": "television",
            "share": 0.6,
          },
          {
            "bitsPerSecond": 1500000,
            "name": "phone",
            "share": 0.4,
          },
        ],
        "hovers": 2,
        "launched": 0.15,
        "leaves": {
          "first": 0.2,
          "later": 0.02,
        },
        "offered": 0.7,
        "regionSpread": 0.25,
        "repeat": 0.03,
        "resume": 0.4,
        "seed": 5,
        "series": {
          "later": 0.4,
          "next": 0.6,
          "share": 0.4,
        },
        "titles": 5000,
        "viewsPerDay": 6000,
      }
    `);
  });

  test('is calibrated: LRU by shares of the catalogue, after a first week', { timeout: 120_000 }, () => {
    const { requests } = play(withoutFollowUps(EDGE_WORKLOAD));
    const from = requests.at.findIndex((at) => at >= 7 * 86_400);
    for (const [share, expected] of [
      [0.01, 0.165],
      [0.05, 0.48],
      [0.2, 0.853],
    ] as const) {
      const capacityBytes = requests.catalogueBytes * share;
      const hit = 1 - simulate({ policy: lru(), capacityBytes }, requests, from).byteMissRatio;
      expect(Math.abs(hit - expected)).toBeLessThan(0.01);
    }
  });

  test('S3-FIFO misses fewer bytes of it than LRU', () => {
    const { requests } = play({ ...SMALL, viewsPerDay: 1200 });
    const capacityBytes = footprintBytes(requests) * 0.1;
    const missed = (policy: ReturnType<typeof lru>) => simulate({ policy, capacityBytes }, requests).byteMissRatio;
    expect(missed(s3fifo())).toBeLessThan(0.9 * missed(lru()));
  });
});
