// What sessions are about to do, on a node: learned from what they did, kept as sums alone, and forgotten with the session.
import { describe, expect, test } from 'vitest';
import { openAnticipation } from '../../agent/anticipation.ts';

const START = 1_000_000_000;

function start(saved = new Map<string, string>(), maxSessions = 100) {
  let now = START;
  const anticipation = openAnticipation({
    maxSessions,
    durationOf: () => 1500,
    snapshots: { get: (name) => saved.get(name), put: (name, json) => void saved.set(name, json) },
    now: () => now,
  });
  const does = (type: string, positionSeconds: number, sid = 's') =>
    anticipation.happened({ sid, type, titleId: 't', positionSeconds });
  const pass = (seconds: number) => {
    now += seconds * 1000;
  };
  const intent = (sid: string | undefined = 's', positionSeconds = 600) =>
    anticipation.intentOf({ sid, positionSeconds, durationSeconds: 1500 });
  return { anticipation, does, pass, intent, saved };
}

describe('a session', () => {
  test('that has just jumped is likelier to jump again than one that has watched for long', () => {
    const { does, pass, intent } = start();
    does('open', 0);
    does('play', 0);
    pass(400);
    const calm = intent();
    does('seek', 900);
    pass(1);
    expect(intent().seek).toBeGreaterThan(3 * calm.seek);
    pass(300);
    expect(intent().seek).toBeLessThan(3 * calm.seek);
  });

  test('that does the same again and again is learned from, and told to be leaving when it is about to', () => {
    const { anticipation, does, pass } = start();
    for (let time = 0; time < 4_000; time += 1) {
      does('open', 0);
      does('play', 0);
      pass(8);
      does('stop', 8);
    }
    expect(anticipation.stats()).toMatchObject({ observed: 4_000, trainedOn: 'the viewer simulator and 4000 actions' });
    does('open', 0);
    does('play', 0);
    expect(anticipation.leaving()).toEqual([]);
    pass(7);
    expect(anticipation.leaving()).toEqual(['s']);
    does('pause', 7);
    expect(anticipation.leaving()).toEqual([]);
  });

  test('is known by its sums alone: nothing of it is kept, and nothing when it is gone', () => {
    const { anticipation, does, pass, saved } = start();
    does('open', 0, 'secret-session');
    pass(5);
    does('seek', 300, 'secret-session');
    anticipation.save();
    expect([...saved.values()].join()).not.toContain('secret');
    anticipation.forget((sid) => sid !== 'secret-session');
    expect(anticipation.stats().sessions).toBe(0);
  });

  test('leaves when there are too many', () => {
    const { anticipation, does } = start(new Map(), 3);
    for (let index = 0; index < 10; index += 1) does('open', 0, `s${index}`);
    expect(anticipation.stats().sessions).toBe(3);
  });
});

describe('what was counted', () => {
  test('goes on after a restart, and begins with the simulator when it cannot be read', () => {
    const { anticipation, does, pass, saved } = start();
    for (let time = 0; time < 2_000; time += 1) {
      does('open', 0);
      pass(2);
      does('seek', 600);
      does('stop', 600);
    }
    anticipation.save();
    const opened = (each: Map<string, string>) => {
      const { does: doesAgain, intent } = start(each);
      doesAgain('open', 0);
      return intent('s').seek;
    };
    const fresh = opened(new Map());
    expect(opened(saved)).toBeGreaterThan(2 * fresh);
    for (const json of ['{', '[]', '{"version":2}', '{"version":1,"counts":[1]}', '{"version":1,"counts":["x"]}'])
      expect(opened(new Map([['anticipation', json]]))).toBe(fresh);
  });
});
