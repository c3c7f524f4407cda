// A million events of one viewer, honest ones and forged ones: what passes, what is kept, and that each was counted.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { openPlans } from '../../agent/plans.ts';
import { openWorld, START } from '../agent/telemetry/world.ts';

const EVENTS = 1_000_000;
const BATCH = 64;
const MIB = 2 ** 20;
const PER_VIEWER = 300;

setFlagsFromString('--expose-gc');
// Sound: the flag above defines it, in contexts made from now on.
const collect = runInNewContext('gc') as () => void;
function heapMiB(): number {
  collect();
  return process.memoryUsage().heapUsed / MIB;
}

/** Times that no honest player tells, and some that one does. */
const TIMES = [
  START,
  START - 30_000,
  START + 60_000,
  START + 2 * 86_400_000,
  START - 400 * 86_400_000,
  -1,
  1e308,
  null,
];
const TYPES = ['play', 'pause', 'seek', 'hover', 'unhover', 'open', 'next', 'stop', 'mute', 'nothing'];

test('row 49: a million events of one viewer, many with forged times: bounded memory, a bounded number that counts, all counted', () => {
  const dir = mkdtempSync(join(tmpdir(), 'nearcast-million-'));
  const world = openWorld(dir, { perViewer: PER_VIEWER, perAddress: 6_000, perMinute: 60_000 });
  let asked = 0;
  const plans = openPlans({
    rank: async () => {
      asked += 1;
      return { answeredBy: 'rules', titles: [] };
    },
    ...{ sessionOf: world.sessions.get, turned: () => undefined, onPlan: () => undefined, maxSessions: 100 },
    now: () => world.clock.now,
  });
  try {
    let sent = 0;
    const bodyOf = (): Buffer => {
      const events = Array.from({ length: BATCH }, () => {
        sent += 1;
        const [at, type] = [TIMES[sent % TIMES.length], TYPES[sent % TYPES.length]];
        // Ever new titles, too: what is made up must not be kept.
        const title = sent % 3 === 0 ? `made-up-${sent}` : `t${(sent % 3) + 1}`;
        return { at, type, title, positionSeconds: sent % 90, dwellBucket: 'over-10' };
      });
      return Buffer.from(JSON.stringify({ version: 1, sid: 'million', consent: 'personal', events }));
    };
    const post = (): void => {
      world.intake.events(bodyOf(), 'application/json', 'one address');
      const session = world.sessions.get('million');
      if (session !== undefined) plans.heard(session);
    };
    const minutes = 10;
    let halfway = 0;
    while (sent < EVENTS) {
      post();
      world.clock.now = START + Math.floor((sent * minutes) / EVENTS) * 60_000;
      // What the test itself notes of events and facts is no memory of the node's.
      world.facts.length = 0;
      world.events.length = 0;
      if (halfway === 0 && sent >= EVENTS / 2) halfway = heapMiB();
    }
    const { accepted, dropped, invalid, capped } = world.intake.stats();
    expect(accepted + dropped + invalid + capped).toBe(sent);
    expect(accepted).toBeGreaterThan(PER_VIEWER);
    expect(accepted + capped).toBeLessThanOrEqual(PER_VIEWER * (minutes + 1));
    expect(invalid).toBeGreaterThan(EVENTS / 2);
    expect(heapMiB() - halfway).toBeLessThan(8);
    const session = world.sessions.get('million');
    expect(world.sessions.stats()).toMatchObject({ sessions: 1, viewers: 1 });
    expect(session?.history.length).toBeLessThanOrEqual(50);
    expect([session?.hovers.length, session?.actions.length]).toEqual([20, 32]);
    // Nothing of it is later than it came, or older than an hour.
    for (const { at } of session?.actions ?? []) {
      expect(at).toBeLessThanOrEqual(world.clock.now);
      expect(at).toBeGreaterThan(START - 3_600_001);
    }
    // Plans are made when something changed, in order, one of a session at a time.
    expect(asked).toBeLessThanOrEqual(1);
    world.state.flush();
    expect(world.state.watches.since(0).length).toBeLessThanOrEqual(PER_VIEWER * (minutes + 1));
  } finally {
    plans.close();
    world.close();
    rmSync(dir, { recursive: true, force: true });
  }
});
