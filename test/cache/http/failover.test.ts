// Two servers that go wrong in any combination and order: no wrong byte, a bounded number of requests, and back by itself.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Answer, openFakeOrigin } from '../../fake/origin.ts';
import { openNode } from './node.ts';

const whole = Buffer.alloc(300_000, 'one of three hundred thousand ');
const other = Buffer.alloc(300_000, 'of another edition altogether ');
const fresh = { 'cache-control': 'max-age=600' };
const good: Answer = { body: whole, headers: fresh, etag: '"1"', hasRanges: true };
const KINDS: Readonly<Record<string, Answer>> = {
  good,
  plain: { body: whole, headers: fresh },
  other: { body: other, headers: fresh, etag: '"2"', hasRanges: true },
  away: { status: 503, body: 'away' },
  broken: { status: 500, body: 'broken' },
  reset: { raw: '' },
  garbage: { raw: 'no HTTP at all\r\n\r\n' },
  cut: { ...good, cutAfterBytes: 100_000 },
  'cut at once': { ...good, cutAfterBytes: 0 },
  'cut without a tag': { body: whole, headers: fresh, cutAfterBytes: 100_000 },
};
const isStart = (bytes: Buffer, of: Buffer): boolean => bytes.equals(of.subarray(0, bytes.length));

test('whatever the two answer, a viewer gets the bytes of one edition, a cut one, or an error', async () => {
  const second = await openFakeOrigin();
  const node = await openNode({ origin: { backups: [second.url], firstByteTimeoutMs: 3000 } });
  const { origin, get, cache, passSeconds } = node;
  const kind = fc.constantFrom(...Object.keys(KINDS));
  let round = 0;
  try {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(kind, kind), { minLength: 1, maxLength: 6 }),
        fc.nat(3),
        async (pairs, pass) => {
          passSeconds(pass);
          round += 1;
          const before = origin.seen().length + second.seen().length;
          const got = await Promise.all(
            pairs.map(([one, two], index) => {
              const path = `/${round}-${index}`;
              origin.set(path, KINDS[one] ?? good);
              second.set(path, KINDS[two] ?? good);
              return get(path);
            }),
          );
          for (const { status, isCut, body } of got) {
            if (status !== 200) expect(status).toBeGreaterThanOrEqual(500);
            else if (isCut) expect(isStart(body, whole) || isStart(body, other)).toBe(true);
            else expect(body.equals(whole) || body.equals(other)).toBe(true);
          }
          while (cache.stats().activeFills > 0) await new Promise(setImmediate);
          // Each server once, a repetition, two rests and their repetitions, a probe beside.
          expect(origin.seen().length + second.seen().length - before).toBeLessThanOrEqual(pairs.length * 9);
          for (const [index] of pairs.entries()) {
            const held = cache.has(`/${round}-${index}`);
            if (held !== undefined) expect(held.sizeBytes).toBe(300_000);
          }
        },
      ),
      { numRuns: 60 },
    );
    const stats = () => cache.stats().origins[0] ?? { retries: undefined, servers: [] };
    const { retries } = stats();
    expect(Math.min(retries?.failover ?? 0, retries?.resume ?? 0)).toBeGreaterThan(0);
    // Every request is counted; a probe may still be on its way.
    const counted = () =>
      stats().servers.reduce((sum, { requests }) => sum + requests, 0) + (stats().retries?.repeat ?? 0);
    while (counted() !== origin.seen().length + second.seen().length) await new Promise(setImmediate);

    passSeconds(60);
    for (let index = 0; index < 10; index += 1) {
      origin.set(`/back-${index}`, good);
      second.set(`/back-${index}`, good);
      expect((await get(`/back-${index}`)).body.equals(whole)).toBe(true);
    }
  } finally {
    await node.close();
    await second.close();
  }
});
