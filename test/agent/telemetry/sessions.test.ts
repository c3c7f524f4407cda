// Sessions: what a consented viewer's player tells becomes a history; without consent there is nothing; erasing erases.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openWorld, record, START, tokenOf, type World } from './world.ts';

const root = mkdtempSync(join(tmpdir(), 'nearcast-sessions-'));
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

const DAY = 86_400_000;
const later = (ms: number): void => {
  world.clock.now += ms;
};

describe('a consented session', () => {
  test('knows what plays, where and how long', () => {
    world.beacon({}, [{ type: 'play', positionSeconds: 10 }]);
    later(20_000);
    expect(world.sessions.get('s-1')?.current).toEqual({
      titleId: 't1',
      positionSeconds: 30,
      watchedSeconds: 20,
      durationSeconds: 100,
      at: START,
      isCompleted: false,
      isPlaying: true,
      rate: 1,
    });
    world.beacon({}, [{ type: 'pause', positionSeconds: 30 }]);
    later(50_000);
    expect(world.sessions.get('s-1')?.current).toMatchObject({
      positionSeconds: 30,
      watchedSeconds: 20,
      isPlaying: false,
    });
  });

  test('keeps a history, newest first, with the title that was left where it was', () => {
    world.beacon({}, [{ type: 'play', positionSeconds: 0 }]);
    later(97_000);
    world.beacon({}, [{ type: 'next', positionSeconds: 97 }]);
    later(1000);
    world.beacon({}, [{ type: 'play', title: 't2', positionSeconds: 0 }]);
    later(5000);
    world.beacon({}, [{ type: 'play', title: 't3', positionSeconds: 50 }]);
    const session = world.sessions.get('s-1');
    expect(
      session?.history.map(({ titleId, positionSeconds, isCompleted }) => [titleId, positionSeconds, isCompleted]),
    ).toEqual([
      ['t3', 50, false],
      ['t2', 5, false],
      ['t1', 97, true],
    ]);
    expect(session?.actions.map(({ type, titleId }) => `${type} ${titleId}`)).toEqual([
      'play t3',
      'play t2',
      'next t1',
      'play t1',
    ]);
  });

  test('knows what is under the pointer, for how long it was, and how the screen is held', () => {
    world.beacon({}, [
      { type: 'hover', title: 't2' },
      { type: 'orientation', orientation: 'portrait' },
    ]);
    expect(world.sessions.get('s-1')).toMatchObject({ hovered: { titleId: 't2', at: START }, orientation: 'portrait' });
    later(2000);
    world.beacon({}, [{ type: 'unhover', title: 't2', dwellBucket: '1-3' }]);
    const session = world.sessions.get('s-1');
    expect(session?.hovered).toBeUndefined();
    expect(session?.hovers).toEqual([{ titleId: 't2', at: START, dwellBucket: '1-3' }]);
  });

  test('is bounded however much is told', () => {
    for (let i = 0; i < 80; i += 1) {
      world.beacon({}, [
        { type: 'hover', title: `h${i}` },
        { type: 'open', title: `o${i}` },
      ]);
    }
    const session = world.sessions.get('s-1');
    expect([session?.history.length, session?.hovers.length, session?.actions.length]).toEqual([50, 20, 32]);
  });

  test('hears CMCD of its requests, and of other titles only what does not change what it watches', () => {
    const query = (fields: string): { cmcd: { query: string } } => ({ cmcd: { query: `${fields},sid="s-1"` } });
    world.sessions.consent('s-1');
    world.intake.served(record(query('ot=v,d=4000,br=800,bl=2000')));
    world.intake.served(record(query('ot=v,d=4000,br=800,bl=2000')));
    world.intake.close();
    expect(world.sessions.get('s-1')?.current).toMatchObject({
      titleId: 't1',
      watchedSeconds: 6,
      positionSeconds: 6,
      bitrateKbps: 800,
      bufferMs: 2000,
    });
    world.beacon({}, [{ type: 'play', title: 't2', positionSeconds: 0 }]);
    world.sessions.hear('s-1', {
      report: {
        version: 1,
        nextObjectUrls: [],
        isStartup: false,
        isStarved: false,
        objectType: 'video',
        objectSeconds: 4,
      },
      titleId: 't3',
      at: START,
    });
    expect(world.sessions.get('s-1')?.current?.titleId).toBe('t2');
    expect(world.sessions.get('s-1')?.history.map((viewing) => viewing.titleId)).toEqual(['t2', 't1']);
  });
});

describe('who it is', () => {
  test('another day is another name, and nothing on disk joins the two', () => {
    const watch = (): void => {
      world.beacon({}, [{ type: 'play', positionSeconds: 0 }]);
      later(60_000);
      world.beacon({}, [{ type: 'pause', positionSeconds: 60 }]);
    };
    watch();
    const today = world.sessions.get('s-1')?.viewer;
    for (let i = 0; i < 26; i += 1) {
      later(3_500_000);
      world.beacon({}, []);
    }
    watch();
    const tomorrow = world.sessions.get('s-1')?.viewer;
    expect(tomorrow).not.toBe(today);
    const rows = world.state.watches.since(0);
    expect(rows.map((row) => row.day)).toEqual([Math.floor(START / DAY), Math.floor(START / DAY) + 1]);
    expect(new Set(rows.map((row) => row.pseudonym)).size).toBe(2);
    expect(world.sessions.erase('s-1')).toEqual({ sessions: 1, rows: 2 });
    expect(world.state.watches.since(0)).toEqual([]);
  });

  test('a signed token joins devices, what came before it included', () => {
    world.beacon({ sid: 'tv' }, [{ type: 'play', positionSeconds: 0 }]);
    later(30_000);
    world.beacon({ sid: 'tv', viewerToken: tokenOf('ann') }, [{ type: 'pause', positionSeconds: 30 }]);
    world.beacon({ sid: 'phone', viewerToken: tokenOf('ann') }, [{ type: 'open', title: 't2' }]);
    const [tv, phone] = [world.sessions.get('tv'), world.sessions.get('phone')];
    expect(phone?.viewer).toBe(tv?.viewer);
    expect(phone?.history.map((viewing) => viewing.titleId)).toEqual(['t2', 't1']);
    expect(world.sessions.stats()).toMatchObject({ sessions: 2, viewers: 1 });
    expect(world.sessions.erase(tokenOf('ann'))).toEqual({ sessions: 2, rows: 1 });
    expect(world.sessions.stats()).toMatchObject({ sessions: 0, viewers: 0 });
    expect(world.state.watches.since(0)).toEqual([]);
  });

  test('another viewer on the same device inherits nothing', () => {
    world.beacon({ viewerToken: tokenOf('ann') }, [{ type: 'open' }]);
    world.beacon({ viewerToken: tokenOf('bob') }, []);
    expect(world.sessions.get('s-1')?.history).toEqual([]);
    expect(world.sessions.get('s-1')?.actions).toEqual([]);
  });

  test('an expired or forged token joins nothing and is counted; an expired one still erases', () => {
    world.beacon({ viewerToken: tokenOf('ann') }, [{ type: 'open' }]);
    world.beacon({ sid: 's-2', viewerToken: `${tokenOf('ann')}x` }, []);
    expect(world.sessions.get('s-2')?.history).toEqual([]);
    later(3_599_000);
    world.beacon({}, []);
    later(2_000);
    world.beacon({ sid: 's-3', viewerToken: tokenOf('ann') }, []);
    expect(world.sessions.get('s-3')?.history).toEqual([]);
    expect(world.sessions.stats().refusedTokens).toBe(2);
    expect(world.sessions.erase(tokenOf('ann')).sessions).toBe(1);
  });
});

describe('without consent', () => {
  test('nothing of a viewer is held, in RAM or on disk, whatever is sent; titles are counted', () => {
    const before = world.bytesOnDisk();
    for (let i = 0; i < 50; i += 1) {
      world.beacon({ sid: `nobody-${i}`, consent: 'none' }, [
        { type: 'play', positionSeconds: 0 },
        { type: 'hover', title: 't2' },
        { type: 'stop', positionSeconds: 99 },
      ]);
      const cmcd = { query: `ot=v,d=4000,sid="nobody-${i}"` };
      world.intake.served(record({ cmcd }));
      world.intake.events(Buffer.from(`e=ps,sta=p,cid="t1",sid="nobody-${i}",v=2`), 'application/cmcd', `address-${i}`);
    }
    world.intake.close();
    expect(world.sessions.stats()).toMatchObject({ sessions: 0, viewers: 0 });
    expect(world.events.every(({ session }) => session === undefined)).toBe(true);
    expect(world.requests.every(({ session }) => session === undefined)).toBe(true);
    expect(JSON.stringify([world.events, world.requests, world.facts])).not.toMatch(/nobody|hash-of-an-address/);
    expect(world.bytesOnDisk()).toBe(before);
    const sum = (kind: string): number =>
      world.facts.filter((fact) => fact.kind === kind).reduce((total, fact) => total + fact.amount, 0);
    expect([sum('play'), sum('hover'), sum('complete'), sum('watch')]).toEqual([50, 50, 50, 200]);
  });

  test('that was given and is taken back: session and rows are gone at once', () => {
    world.beacon({}, [{ type: 'play', positionSeconds: 0 }]);
    later(60_000);
    world.beacon({}, [{ type: 'pause', positionSeconds: 60 }]);
    expect(world.state.watches.since(0)).toHaveLength(1);
    const [row] = world.state.watches.since(0);
    expect(world.bytesOnDisk()).toContain(row?.pseudonym);
    world.beacon({ consent: 'none' }, []);
    expect(world.sessions.stats()).toMatchObject({ sessions: 0, viewers: 0 });
    expect(world.state.watches.since(0)).toEqual([]);
    expect(world.bytesOnDisk()).not.toContain(row?.pseudonym);
  });
});

describe('on disk', () => {
  test('a consented viewer leaves one row for a title and a day, and no id, token or address anywhere', () => {
    const token = tokenOf('ann-of-the-publisher');
    world.beacon({ sid: 'sid-of-ann', viewerToken: token }, [{ type: 'play', positionSeconds: 0 }]);
    for (let i = 1; i <= 9; i += 1) {
      later(10_000);
      world.beacon({ sid: 'sid-of-ann', viewerToken: token }, [{ type: 'seek', positionSeconds: i * 10 }]);
      world.intake.served(record({ cmcd: { query: 'ot=v,d=1000,sid="sid-of-ann"' } }));
    }
    world.intake.close();
    expect(world.state.watches.since(0)).toEqual([
      {
        day: Math.floor(START / DAY),
        pseudonym: expect.stringMatching(/^[0-9a-f]{32}$/),
        titleId: 't1',
        bucket: 'whole',
      },
    ]);
    const bytes = world.bytesOnDisk();
    expect(bytes).toContain('t1');
    for (const secret of ['sid-of-ann', 'ann-of-the-publisher', token, 'hash-of-an-address']) {
      expect(bytes).not.toContain(secret);
    }
  });

  test('an expired session leaves its rows, which its id still erases on the same day', () => {
    world.beacon({}, [{ type: 'play', positionSeconds: 0 }]);
    later(60_000);
    world.beacon({}, [{ type: 'pause', positionSeconds: 60 }]);
    later(3_700_000);
    world.sessions.sweep();
    expect(world.sessions.stats()).toMatchObject({ sessions: 0, viewers: 0, expired: 1 });
    expect(world.sessions.erase('s-1')).toEqual({ sessions: 0, rows: 1 });
  });
});

describe('bounds', () => {
  test('the session unseen for longest leaves first', () => {
    world.close();
    world = fresh({ maxSessions: 3 });
    for (const sid of ['a', 'b', 'c']) world.beacon({ sid }, []);
    world.beacon({ sid: 'a' }, []);
    world.beacon({ sid: 'd' }, []);
    expect(['a', 'b', 'c', 'd'].filter((sid) => world.sessions.has(sid))).toEqual(['a', 'c', 'd']);
    expect(world.sessions.stats()).toMatchObject({ sessions: 3, viewers: 3, expired: 1 });
  });

  test('an idle session is gone even before anybody sweeps', () => {
    world.beacon({}, [{ type: 'open' }]);
    later(3_600_001);
    expect(world.sessions.get('s-1')).toBeUndefined();
    expect(world.sessions.stats().sessions).toBe(0);
  });

  test('a clock that goes back ends nothing', () => {
    world.beacon({}, [{ type: 'open' }]);
    later(-10 * DAY);
    world.sessions.sweep();
    expect(world.sessions.get('s-1')?.history).toHaveLength(1);
  });
});
