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

const SEGMENT_BYTES = 3_000;
/** What the origin sent in each five minutes of the last two days. */
const USUAL_BYTES = 40_000;
/** Fills that may have been started before the bytes of the others were counted. */
const AT_ONCE = 8;

test('the nightly fill stays below the line of the origin, however large the budget of the day', async () => {
  const place = await makePlace();
  const popular = publish(place, 'popular', 40);
  publish(place, 'asked-for', 4);
  catalogue(place, [{ id: 'popular', durationSeconds: 160 }, { id: 'asked-for' }]);
  const state = openState({ dir: join(place.dir, 'state'), flushMs: 60_000, log: () => undefined });
  const clock = { now: Date.now() - 2 * 86_400_000 };
  const before = openLines({ days: state.snapshots, origins: ['main'], ratio: 1, now: () => clock.now });
  for (; clock.now < Date.now() - BIN_SECONDS * 1000; clock.now += BIN_SECONDS * 1000) {
    before.received('main', USUAL_BYTES);
    before.save();
  }
  state.close();
  const window = { cron: '* * * * * *', minutes: 1, timeZone: 'UTC' };
  const prefetch = { inSession: false, bytesPerDay: '1GiB', lineShare: 0.9, window };
  const startedAt = Date.now();
  const node = await openWorld({ prefetch }, { place });
  try {
    for (let viewer = 0; viewer < 40; viewer += 1) await node.get(popular.segments[0] ?? '');
    const ofFills = (): number => place.origin.seen().filter(({ url }) => popular.allSegments.includes(url)).length - 1;
    await expect.poll(ofFills, { timeout: 45_000, interval: 20 }).toBeGreaterThan(4);
    // What an operator asks for is not held back by the line, and has its turn behind what fill wanted.
    await node.ask('POST', '/preposition', { titles: ['asked-for'] });
    const bin = (at: number): number => Math.floor(at / (BIN_SECONDS * 1000));
    const bins = bin(Date.now()) - bin(startedAt) + 1;
    const filled = ofFills() * SEGMENT_BYTES;
    expect(filled).toBeLessThanOrEqual(bins * 0.9 * USUAL_BYTES + AT_ONCE * SEGMENT_BYTES);
    // There was more to fill than that.
    expect(popular.allSegments.length * SEGMENT_BYTES).toBeGreaterThan(3 * filled);
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
