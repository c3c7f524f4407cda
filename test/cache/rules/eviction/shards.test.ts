// Caches played in miniature on sampled keys: exact while all keys fit, near the truth when few do, and bounded.
import { describe, expect, test } from 'vitest';
import {
  EDGE_WORKLOAD,
  makeTitles,
  makeViews,
  requestsOfViews,
  seededChance,
  withoutFollowUps,
} from '../../../../agent/simulate/workload.ts';
import { lru } from '../../../../cache/rules/eviction/lru.ts';
import { Miniature } from '../../../../cache/rules/eviction/miniature.ts';
import { s3fifo } from '../../../../cache/rules/eviction/s3fifo.ts';
import { Shards } from '../../../../cache/rules/eviction/shards.ts';
import { footprintBytes, simulate } from '../../../../cache/rules/eviction/simulate.ts';

const WORKLOAD = withoutFollowUps({ ...EDGE_WORKLOAD, days: 7, titles: 2000, viewsPerDay: 4000 });
const titles = makeTitles(WORKLOAD);
const requests = requestsOfViews(WORKLOAD, titles, makeViews(WORKLOAD, titles));
const keys = Array.from({ length: requests.count }, (_, object) => `main /titles/${object % 97}/v1/${object}.m4s`);
const total = requests.bytes.reduce((sum, bytes) => sum + bytes, 0);
const capacityBytes = footprintBytes(requests) * 0.2;

/** Byte miss of LRU and S3-FIFO as played with so many keys, and the sample's last ratio. */
function play(maxKeys: number, maxRatio = 1) {
  const fetched = [0, 0];
  const groups = new Set<number>();
  const shards = new Shards(
    [lru(), s3fifo()].map((policy) => ({ policy, capacityBytes, takesFills: true })),
    {
      maxKeys,
      maxRatio,
      onFetch: (cache, group, bytes) => {
        fetched[cache] = (fetched[cache] ?? 0) + bytes;
        groups.add(group);
      },
    },
  );
  for (const [at, object] of requests.objects.entries()) shards.ask(keys[object] ?? '', requests.bytes[at] ?? 0);
  expect([...groups].sort((one, other) => one - other)).toEqual(Array.from({ length: Shards.groups }, (_, at) => at));
  return { misses: fetched.map((bytes) => bytes / total), ratio: shards.ratio };
}

describe('played caches', () => {
  const truth = [lru(), s3fifo()].map((policy) => simulate({ policy, capacityBytes }, requests).byteMissRatio);

  test('are exact while every key is sampled', () => {
    const { misses, ratio } = play(1_000_000);
    expect(ratio).toBe(1);
    // Two keys may share their 29 bits.
    for (const [at, miss] of misses.entries()) expect(miss).toBeCloseTo(truth[at] ?? 0, 4);
  });

  test('are near the truth with one key in seven, and the sample shrinks by itself', () => {
    const { misses, ratio } = play(2048);
    expect(ratio).toBeGreaterThan(0.02);
    expect(ratio).toBeLessThan(0.35);
    for (const [at, miss] of misses.entries()) expect(Math.abs(miss - (truth[at] ?? 0))).toBeLessThan(0.015);
  });

  test('may begin with half of the keys, in half of the bytes', () => {
    const { misses, ratio } = play(1_000_000, 0.5);
    expect(ratio).toBe(0.5);
    for (const [at, miss] of misses.entries()) expect(Math.abs(miss - (truth[at] ?? 0))).toBeLessThan(0.01);
  });

  test('stand for all keys: what is fetched once counts once', () => {
    let fetched = 0;
    const shards = new Shards([{ policy: lru(), capacityBytes: 1e9, takesFills: true }], {
      maxKeys: 1000,
      onFetch: (_cache, _group, bytes) => {
        fetched += bytes;
      },
    });
    for (let key = 0; key < 200_000; key += 1) shards.ask(`key ${key}`, 100);
    expect(Math.abs(fetched / 20_000_000 - 1)).toBeLessThan(0.05);
    expect(shards.ratio).toBeLessThan(0.01);
  });

  test('without prefetch hear of no fill, and misses follow', () => {
    const fetched = [0, 0];
    const shards = new Shards(
      [true, false].map((takesFills) => ({ policy: lru(), capacityBytes: 1000, takesFills })),
      {
        maxKeys: 10,
        onFetch: (cache, _group, bytes) => {
          fetched[cache] = (fetched[cache] ?? 0) + bytes;
        },
      },
    );
    shards.fill('a', 10, true);
    shards.fill('b', 20, false);
    expect(fetched).toEqual([30, 0]);
    for (const key of ['a', 'b', 'a']) shards.ask(key, key === 'a' ? 10 : 20);
    expect(fetched).toEqual([30, 30]);
  });
});

describe('a miniature', () => {
  test('fetches the rest of what an earlier viewer left, and no object larger than itself stays', () => {
    const left: number[] = [];
    const miniature = new Miniature({ policy: lru(), capacityBytes: 100 }, (key) => left.push(key));
    const asked = [
      [1, 30],
      [1, 50],
      [1, 40],
      [2, 60],
      [1, 50],
      [3, 101],
      [3, 101],
    ] as const;
    expect(asked.map(([key, bytes]) => miniature.ask(key, bytes, key))).toEqual([30, 20, 0, 60, 50, 101, 101]);
    expect(miniature.keys()).toEqual([1]);
    expect(left).toEqual([1, 1, 2]);
  });

  test('agrees with a plain list of keys through shrinking and all', () => {
    const chance = seededChance(3);
    const miniature = new Miniature({ policy: lru(), capacityBytes: 400 }, () => undefined);
    let list: { key: number; bytes: number }[] = [];
    let limit = 400;
    for (let step = 0; step < 5000; step += 1) {
      const key = Math.floor(chance() * 60) * 50;
      const bytes = 5 + (key % 7);
      const isHeld = list.some((one) => one.key === key);
      expect(miniature.ask(key, bytes, key)).toBe(isHeld ? 0 : bytes);
      list = [...list.filter((one) => one.key !== key), { key, bytes }];
      const trim = () => {
        while (list.reduce((sum, one) => sum + one.bytes, 0) > limit) list.shift();
      };
      trim();
      if (step % 1000 === 999) {
        limit *= 0.8;
        miniature.resize(limit / 400);
        trim();
      }
      if (step % 100 === 99) {
        miniature.remove(key);
        list.pop();
      }
      expect(miniature.count).toBe(list.length);
    }
    expect(miniature.keys()).toEqual(list.map(({ key }) => key).sort((one, other) => one - other));
  });

  test('a fill that is past its trial enters as the policy says', () => {
    const entered: string[] = [];
    const policy = lru();
    const noted = (kind: string) => (slot: number, bytes: number, name: number) => {
      entered.push(`${kind} ${name}`);
      policy.enter(slot, bytes, name);
    };
    const played = { policy: { ...policy, enter: noted('new') }, enterProven: noted('proven'), capacityBytes: 100 };
    const miniature = new Miniature(played, () => undefined);
    const fill = (key: number, isProven: boolean) => miniature.fill(key, 10, { name: key + 5, isProven });
    expect([fill(1, true), fill(2, false), fill(1, true)]).toEqual([10, 10, 0]);
    expect(entered).toEqual(['proven 6', 'new 7']);
  });
});
