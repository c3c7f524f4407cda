// The counterfactual meter on a running node: what viewers caused is measured, played, told and kept over a restart.
import { expect, test } from 'vitest';
import type { MeterReport } from '../../../agent/simulate/meter.ts';
import { command, leavePlace, makePlace, openWorld } from './world.ts';

const OBJECTS = 60;
const BYTES = 20_000;

test('a node says what LRU would have fetched, in numbers, for people and over a restart', async () => {
  const place = await makePlace();
  try {
    for (let object = 0; object < OBJECTS; object += 1) {
      const headers = { 'cache-control': 'max-age=3600' };
      place.origin.set(`/v/${object}.m4s`, { body: Buffer.alloc(BYTES, 'x'), headers });
    }
    const first = await openWorld({}, { place });
    try {
      for (let round = 0; round < 2; round += 1) {
        for (let object = 0; object < OBJECTS; object += 1) {
          expect((await first.get(`/v/${object}.m4s`)).status).toBe(200);
        }
      }
      const readMeasured = async () => (await report(first)).measured.originBytes;
      await expect.poll(readMeasured, { timeout: 10_000 }).toBe(OBJECTS * BYTES);
      const { played, sampleRatio, savings } = await report(first);
      expect(sampleRatio).toBe(0.5);
      // Nothing had to leave, so all caches fetched the same: every object of the sample once.
      expect(played.lru.originBytes).toEqual(played['as-is'].originBytes);
      const { low, high } = played.lru.originBytes;
      expect(low).toBeLessThan(OBJECTS * BYTES * 1.2);
      expect(high).toBeGreaterThan(OBJECTS * BYTES * 0.8);
      expect(savings.map(({ originBytes }) => originBytes.value)).toEqual([0, 0, 0]);
      const told = await command(['report', '--socket', first.socket]);
      expect(told).toMatchObject({ code: 0, stderr: '' });
      expect(told.stdout).toMatch(/playing 1 in 2 keys.*\n\n.*\n +measured +1\.1 MiB/);
      const metrics = await first.metrics();
      const line = `nearcast_whatif_origin_bytes_total{cache="lru"} ${played.lru.originBytes.value}`;
      expect(metrics).toContain(line);
    } finally {
      await first.close();
    }
    const second = await openWorld({}, { place });
    try {
      expect((await report(second)).measured.originBytes).toBe(OBJECTS * BYTES);
    } finally {
      await second.close();
    }
  } finally {
    await leavePlace(place);
  }
});

/** The answer of GET /report, which is what the meter gave, as JSON. */
async function report(world: {
  readonly ask: (method: string, path: string) => Promise<unknown>;
}): Promise<MeterReport> {
  // The control socket carries the meter's own object.
  return (await world.ask('GET', '/report')) as MeterReport;
}
