// The intake: what it answers, what it passes on, and what a flood or a liar gets out of it.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openWorld, record, START, type World } from './world.ts';

const root = mkdtempSync(join(tmpdir(), 'nearcast-intake-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let count = 0;
let world: World;
const fresh = (limits?: Parameters<typeof openWorld>[1]): World => {
  count += 1;
  return openWorld(join(root, String(count)), limits);
};
beforeEach(() => {
  world = fresh();
});
afterEach(() => world.close());

describe('a posted body', () => {
  test.each<[name: string, body: string, contentType: string, expected: unknown]>([
    ['a beacon as JSON', '{"version":1,"sid":"s","consent":"none","events":[]}', 'application/json', { status: 204 }],
    [
      'a beacon as text',
      '{"version":1,"sid":"s","consent":"none","events":[]}',
      'text/plain;charset=UTF-8',
      { status: 204 },
    ],
    ['CMCD', 'e=t,ts=1795174508210,v=2\n', 'application/cmcd', { status: 204 }],
    [
      'CMCD that is none',
      '\u0000',
      'application/cmcd; charset=utf-8',
      { status: 400, code: 'EVENTS_INVALID', message: expect.any(String) },
    ],
    [
      'too much CMCD',
      'x'.repeat(16 * 1024 + 1),
      'application/cmcd',
      expect.objectContaining({ code: 'EVENTS_TOO_LARGE' }),
    ],
    ['no JSON', 'hello', 'text/plain', expect.objectContaining({ status: 400, code: 'EVENTS_NOT_JSON' })],
  ])('%s', (_name, body, contentType, expected) => {
    world.clock.now = 1_795_174_508_300;
    expect(world.intake.events(Buffer.from(body), contentType, 'address')).toEqual(expected);
  });

  test('tells in a refusal the rule, and nothing of what was sent', () => {
    const answer = world.intake.events(
      Buffer.from('{"version":1,"sid":"secret-sid\\n","consent":"none"}'),
      'text/plain',
      'address',
    );
    expect(JSON.stringify(answer)).not.toContain('secret-sid');
  });

  test('with events out of order is taken in order', () => {
    world.beacon({}, [
      { type: 'pause', positionSeconds: 20, at: START },
      { type: 'play', positionSeconds: 0, at: START - 20_000 },
    ]);
    expect(world.sessions.get('s-1')?.current).toMatchObject({ watchedSeconds: 20, isPlaying: false });
  });

  test('is counted: taken, broken, refused', () => {
    world.beacon({}, [{ type: 'play' }, { type: 'play', positionSeconds: -1 }]);
    world.intake.events(Buffer.from('x'), 'text/plain', 'address');
    expect(world.intake.stats()).toEqual({
      accepted: 1,
      invalid: 2,
      dropped: 0,
      capped: 0,
      cmcdParsed: 0,
      cmcdInvalid: 0,
    });
  });
});

describe('players that speak CMCD in events', () => {
  test('start, go on, pause and end as the beacon would say it', () => {
    world.sessions.consent('s-1');
    const states = [
      ['s', 0],
      ['p', 0],
      ['a', 20_000],
      ['p', 20_000],
      ['e', 100_000],
    ] as const;
    for (const [sta, pt] of states) {
      world.clock.now = START + pt;
      const body = `cid="t1",e=ps,pt=${pt},sid="s-1",sta=${sta},ts=${world.clock.now},v=2`;
      world.intake.events(Buffer.from(body), 'application/cmcd', 'address');
    }
    expect(world.events.map(({ event }) => event.type)).toEqual(['open', 'play', 'pause', 'play', 'stop']);
    expect(world.facts.map(({ kind, titleId }) => `${kind} ${titleId}`)).toEqual(['play t1', 'complete t1']);
    expect(world.sessions.get('s-1')?.history).toMatchObject([
      { titleId: 't1', watchedSeconds: 100, isCompleted: true },
    ]);
  });

  test('hover by a custom event', () => {
    world.intake.events(Buffer.from(`e=ce,cen="hover",cid="t1",ts=${START},v=2`), 'application/cmcd', 'address');
    expect(world.events).toEqual([{ event: { at: START, type: 'hover', title: 't1' }, session: undefined }]);
    expect(world.facts).toMatchObject([{ kind: 'hover', titleId: 't1' }]);
  });
});

describe('a served request', () => {
  test('is read in a later turn, never in the one that served it', async () => {
    world.intake.served(record());
    expect(world.requests).toHaveLength(0);
    await turn();
    expect(world.requests).toHaveLength(1);
  });

  test('passes on what comes next, on this node only', () => {
    const nor = encodeURIComponent('v_002.m4s');
    world.intake.served(record({ cmcd: { query: `nor="${nor}",ot=v,d=4000,bl=3000,su` } }));
    world.intake.served(
      record({ cmcd: { query: 'nor=("../h2/v.m4s?x=1" "//evil.example/x" "http://[bad" "/a"),v=2' } }),
    );
    world.intake.close();
    expect(world.requests.map(({ request }) => request)).toEqual([
      {
        at: START,
        path: '/titles/t1/h/v_001.m4s',
        kind: 'segment',
        titleId: 't1',
        nextPaths: ['/titles/t1/h/v_002.m4s'],
        bufferMs: 3000,
        ...{ isHit: true, sentBytes: 1000, sentMs: 0 },
        objectSeconds: 4,
        isStartup: true,
        isStarved: false,
      },
      expect.objectContaining({ nextPaths: ['/titles/t1/h2/v.m4s?x=1', '/a'] }),
    ]);
  });

  test.each([
    ['video counts as watched', { cmcd: { query: 'ot=v,d=4000' } }, [4]],
    ['audio beside it does not count again', { cmcd: { query: 'ot=a,d=4000' } }, []],
    ['a broken answer does not', { status: 502, cmcd: { query: 'ot=v,d=4000' } }, []],
    ['one that was cut short does not', { isComplete: false, cmcd: { query: 'ot=v,d=4000' } }, []],
    ['nor one that says nothing', {}, []],
    ['nobody watches an hour in one object', { cmcd: { query: 'ot=v,d=600000' } }, [60]],
  ])('%s', (_name, fields, expected) => {
    world.intake.served(record(fields));
    world.intake.close();
    expect(world.facts.filter((fact) => fact.kind === 'watch').map((fact) => fact.amount)).toEqual(expected);
  });

  test('with CMCD that cannot be read is served all the same, and counted', () => {
    world.intake.served(record({ cmcd: { query: '"""' } }));
    world.intake.served(record({ cmcd: { headers: { 'cmcd-object': 'br=1' } } }));
    world.intake.served(record({ cmcd: {} }));
    world.intake.close();
    expect(world.requests).toHaveLength(3);
    expect(world.intake.stats()).toMatchObject({ cmcdParsed: 1, cmcdInvalid: 1 });
  });
});

describe('floods and lies', () => {
  test('a ring that is full drops and counts, and is read to its end', async () => {
    for (let i = 0; i < 9000; i += 1) world.intake.served(record());
    expect(world.intake.stats().dropped).toBe(9000 - 8192);
    while (world.requests.length < 8192) await turn();
    world.intake.served(record());
    await turn();
    expect(world.requests).toHaveLength(8193);
    world.intake.close();
    world.intake.served(record());
    expect(world.intake.stats().dropped).toBe(9000 - 8192 + 1);
  });

  test('one viewer has an allowance for the minute, all have one together', () => {
    world.close();
    world = fresh({ perViewer: 3, perMinute: 10 });
    const three = [{ type: 'seek' }, { type: 'seek' }, { type: 'seek' }] as const;
    expect(world.beacon({ sid: 'a' }, three)).toBe(204);
    expect(world.beacon({ sid: 'a' }, three)).toBe(204);
    expect(world.intake.stats()).toMatchObject({ accepted: 3, dropped: 3 });
    for (const sid of ['b', 'c', 'd']) world.beacon({ sid }, three);
    expect(world.intake.stats()).toMatchObject({ accepted: 7, dropped: 8 });
    world.clock.now += 60_000;
    world.beacon({ sid: 'a' }, three);
    expect(world.intake.stats().accepted).toBe(10);
  });

  test('consent is taken back even in a flood', () => {
    world.close();
    world = fresh({ perMinute: 1 });
    world.beacon({}, [{ type: 'open' }]);
    world.beacon({ consent: 'none' }, [{ type: 'open' }]);
    expect(world.sessions.stats().sessions).toBe(0);
  });

  test('a beacon counts once for a title however often it says so, and never for a title that it made up', () => {
    world.beacon({ consent: 'none' }, Array(60).fill({ type: 'hover' }));
    world.beacon({ consent: 'none' }, [{ type: 'hover', title: 'made-up' }]);
    expect(world.facts).toEqual([{ titleId: 't1', kind: 'hover', amount: 1, at: START }]);
  });

  test('a title that is in no catalogue counts once it was served', () => {
    world.intake.served(record({ path: '/titles/uncatalogued/h/v.m4s' }));
    world.intake.served(record({ path: '/titles/missing/h/v.m4s', status: 404 }));
    world.intake.close();
    for (const title of ['uncatalogued', 'missing']) world.beacon({}, [{ type: 'hover', title }]);
    expect(world.facts.map((fact) => fact.titleId)).toEqual(['uncatalogued']);
  });

  test('an event from the future is one of now', () => {
    world.beacon({}, [{ type: 'open', at: START + 3_600_000 }]);
    expect(world.events[0]?.event.at).toBe(START);
    expect(world.sessions.get('s-1')?.actions[0]?.at).toBe(START);
  });
});
