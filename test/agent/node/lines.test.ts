// Lines through a whole node: an origin's line, which fill leaves below its month's 95th percentile, and lines of another
// cache's access log, of which some are none.
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { PopularitySnapshot } from '../../../agent/predict/popularity.ts';
import { BIN_SECONDS } from '../../../agent/simulate/billing.ts';
import { openLines } from '../../../agent/simulate/lines.ts';
import { openState } from '../../../agent/state.ts';
import { catalogue, leavePlace, makePlace, openWorld, publish, sample } from './world.ts';

test('the nightly fill leaves an origin alone whose line is full, however popular its titles, and fills from another', async () => {
  const place = await makePlace();
  const [full, free] = [publish(place, 'full', 20), publish(place, 'free', 20)];
  catalogue(place, [
    { id: 'full', durationSeconds: 80 },
    { id: 'free', durationSeconds: 80 },
  ]);
  const state = openState({ dir: join(place.dir, 'state'), flushMs: 60_000, log: () => undefined });
  // For two days the origin has sent next to nothing: whatever it sends now raises its month's percentile.
  const clock = { now: Date.now() - 2 * 86_400_000 };
  const before = openLines({ days: state.snapshots, origins: ['main'], ratio: 1, now: () => clock.now });
  for (; clock.now < Date.now() - BIN_SECONDS * 1000; clock.now += BIN_SECONDS * 1000) before.received('main', 1);
  before.save();
  state.close();
  const { url } = place.origin;
  const node = await openWorld(
    {
      origins: [
        { name: 'other', url, match: '/titles/free/' },
        { name: 'main', url, match: '/' },
      ],
      prefetch: {
        ...{ inSession: false, bytesPerDay: '1GiB', lineShare: 0.9 },
        window: { cron: '* * * * * *', minutes: 1, timeZone: 'UTC' },
      },
    },
    { place },
  );
  try {
    for (let viewer = 0; viewer < 40; viewer += 1) {
      await node.get(full.segments[0] ?? '');
      if (viewer % 2 === 0) await node.get(free.segments[0] ?? '');
    }
    const fillsOf = ({ allSegments }: typeof full): number =>
      place.origin.seen().filter((request) => allSegments.includes(request.url)).length - 1;
    await expect.poll(() => fillsOf(free), { timeout: 30_000, interval: 20 }).toBeGreaterThan(4);
    expect(fillsOf(full)).toBe(0);
  } finally {
    await node.close();
    await leavePlace(place);
  }
}, 60_000);

test('an access log with lines that are too long or none of its format is learnt from to its end, and viewers are served', async () => {
  const place = await makePlace();
  const file = join(place.dir, 'access.log');
  const film = publish(place, 'film', 2);
  catalogue(place, [{ id: 'film' }, { id: 'first' }, { id: 'last' }]);
  const node = await openWorld({ telemetry: { accessLogs: [file] } }, { place });
  try {
    const line = (title: string, query = '') =>
      `192.0.2.7 - - [21/Nov/2026:22:47:38 +0000] "GET /titles/${title}/master.m3u8${query} HTTP/1.1" 200 900 "-" "-"\n`;
    const garbage = Array.from({ length: 2_000 }, (_, at) =>
      at % 2 === 0 ? `\u0000${at}\n` : line('first', `?${at}`),
    );
    appendFileSync(file, line('first') + garbage.join(''));
    // Longer than a line may be, by itself beyond what is read at once, and by one character.
    for (const length of [400_000, 65_537]) appendFileSync(file, `${line('last', `?${'x'.repeat(length)}`)}`);
    appendFileSync(file, Buffer.concat([Buffer.from([0xff, 0xfe, 0x0a]), Buffer.from(line('last'))]));
    expect((await node.get(film.segments[0] ?? '')).status).toBe(200);
    const lines = async (outcome: string) =>
      sample(await node.metrics(), `nearcast_access_log_lines_total{outcome="${outcome}"}`);
    await expect.poll(() => lines('request'), { timeout: 10_000, interval: 20 }).toBe(1_002);
    expect([await lines('malformed'), await lines('too-long')]).toEqual([1_001, 2]);
    await node.stop();
    // What was behind them counts, what was too long does not; of a thousand plays of one title twenty do before others come.
    const state = openState({ dir: join(place.dir, 'state'), flushMs: 60_000, log: () => undefined });
    // Sound: the node has written it just now.
    const popularity = JSON.parse(state.snapshots.get('popularity') ?? '') as PopularitySnapshot;
    state.close();
    const counts = new Map(popularity.regions.flatMap(({ titles }) => titles.map(([title, value]) => [title, value])));
    expect([counts.get('first'), counts.get('last')]).toEqual([expect.closeTo(20, 1), expect.closeTo(1, 1)]);
  } finally {
    await node.close();
    await leavePlace(place);
  }
}, 60_000);
