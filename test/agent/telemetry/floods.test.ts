// Bad input by the million: what one viewer, one address, a botnet and forged clocks get out of the intake, and what it
// keeps of them; and what players without events and the logs of other caches add.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { recordOf } from '../../../agent/telemetry/access-log.ts';
import { openWorld, record, START, type World } from './world.ts';

const root = mkdtempSync(join(tmpdir(), 'nearcast-floods-'));
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

const post = (sid: string, events: readonly unknown[], sender: string, consent = 'personal'): number =>
  world.intake.events(Buffer.from(JSON.stringify({ version: 1, sid, consent, events })), 'application/json', sender)
    .status;
const told = (type: string, title = 't1') => ({ at: world.clock.now, type, title, positionSeconds: 0 });
const playsOf = (titleId: string): number =>
  world.facts.filter((fact) => fact.titleId === titleId && fact.kind === 'play').length;

describe('floods', () => {
  test('a hundred thousand events of one viewer: bounded in what passes and what is kept, and every one is counted', () => {
    world.close();
    world = fresh({ perViewer: 300, perAddress: 6_000, perMinute: 1e9 });
    const batch = Array.from({ length: 64 }, (_, at) => told('hover', `t${(at % 3) + 1}`));
    const body = Buffer.from(JSON.stringify({ version: 1, sid: 'flood', consent: 'personal', events: batch }));
    const batches = Math.ceil(1e5 / 64);
    for (let sent = 0; sent < batches; sent += 1) world.intake.events(body, 'application/json', 'address');
    const { accepted, dropped, invalid } = world.intake.stats();
    expect(accepted).toBe(300);
    expect(accepted + dropped + invalid).toBe(batches * 64);
    const session = world.sessions.get('flood');
    expect([session?.actions.length, session?.hovers.length]).toEqual([32, 20]);
    expect(world.sessions.stats()).toMatchObject({ sessions: 1, viewers: 1 });
  });

  test('one address with ever new session ids has one allowance, and others keep theirs', () => {
    world.close();
    world = fresh({ perAddress: 100, perMinute: 1_000, maxSessions: 50 });
    for (let sent = 0; sent < 500; sent += 1) post(`new-${sent}`, [told('seek')], 'one');
    expect(world.intake.stats()).toMatchObject({ accepted: 100, dropped: 400 });
    expect(world.sessions.stats().sessions).toBe(50);
    post('honest', [told('seek')], 'other');
    expect(world.intake.stats().accepted).toBe(101);
    world.clock.now += 60_000;
    post('new', [told('seek')], 'one');
    expect(world.intake.stats().accepted).toBe(102);
  });

  test('plays of one title from everywhere count up to its cap, and are counted as capped', () => {
    world.close();
    world = fresh({ perAddress: 1e6, perMinute: 1e6, titleRatio: 0.3 });
    for (let bot = 0; bot < 3_000; bot += 1) {
      if (bot % 30 === 0) post(`honest-${bot}`, [told('play', bot % 60 === 0 ? 't2' : 't3')], `home-${bot}`, 'none');
      post(`bot-${bot}`, [told('play')], `bot-${bot}`, 'none');
    }
    const honest = playsOf('t2') + playsOf('t3');
    expect(playsOf('t1')).toBeLessThanOrEqual(Math.max(20, (honest * 0.3) / 0.7));
    const { accepted, capped } = world.intake.stats();
    expect(capped).toBeGreaterThan(2_900);
    expect(accepted + capped).toBe(3_100);
  });
});

describe('lies', () => {
  test.each([
    ['a day ahead', START + 86_400_001],
    ['a year ago', START - 365 * 86_400_000],
    ['no time', Number.NaN],
    ['endless', 1e308],
  ])('an event of %s is refused and counted', (_, at) => {
    post('s', [{ ...told('seek'), at }, told('seek')], 'address');
    expect(world.intake.stats()).toMatchObject({ accepted: 1, invalid: 1 });
    expect(world.sessions.get('s')?.actions).toHaveLength(1);
  });

  test.each([
    ['bytes that are no UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d])],
    ['a half surrogate', Buffer.from('{"version":1,"sid":"\\ud800","consent":"personal","events":[]}')],
    ['an overlong slash', Buffer.from([0x22, 0xc0, 0xaf, 0x22])],
  ])('%s opens no session', (_, body) => {
    expect(world.intake.events(body, 'application/json', 'address').status).toBe(400);
    expect(world.intake.events(body, 'application/cmcd', 'address').status).toBe(400);
    expect(world.sessions.stats().sessions).toBe(0);
    expect(world.intake.stats().invalid).toBe(2);
  });

  test('CMCD of a request with a session id that never consented leaves nothing, whatever it says', () => {
    const query = 'sid="nobody",cid="t1",ot=v,d=4000,nor="../t2/v_0.m4s"';
    for (let sent = 0; sent < 100; sent += 1) world.intake.served(record({ cmcd: { query } }));
    world.intake.close();
    expect(world.sessions.stats()).toMatchObject({ sessions: 0, viewers: 0 });
    expect(JSON.stringify(world.requests)).not.toContain('nobody');
  });
});

describe('players that tell nothing', () => {
  const manifest = (title: string, name = 'master.m3u8') =>
    record({ path: `/titles/${title}/${name}`, kind: 'manifest' });

  test('the manifest at the top is a play, other playlists are none, and titles with events count by those alone', () => {
    for (const name of ['master.m3u8', 'v0.m3u8', 'a/en.m3u8', 'master.m3u8'])
      world.intake.served(manifest('t1', name));
    world.intake.served({ ...manifest('t1'), status: 404 });
    post('s', [told('play', 't2')], 'd', 'none');
    world.intake.served(manifest('t2'));
    // Somebody begins in the middle: the first playlist counts until the one at the top is known.
    for (const name of ['v/0.m3u8', 'm.mpd', 'v/0.m3u8', 'm.mpd']) world.intake.served(manifest('t3', name));
    world.intake.close();
    expect([playsOf('t1'), playsOf('t2'), playsOf('t3')]).toEqual([2, 1, 3]);
  });

  test('a log of another cache counts as its own requests do, but nothing is fetched for it', () => {
    const logged = (id: string) => recordOf({ at: START / 1000, id, bytes: 900 });
    const cmcd = encodeURIComponent('ot=v,d=4000,br=800,sid="s"');
    for (const id of [
      'cdn.example/titles/t1/master.m3u8',
      `/titles/t1/v_1.m4s?CMCD=${cmcd}`,
      '/titles/t1/v_2.m4s',
      'x',
    ]) {
      const one = logged(id);
      if (one !== undefined) world.intake.logged(one);
    }
    expect(world.facts).toEqual([
      { titleId: 't1', kind: 'play', amount: 1, at: START },
      { titleId: 't1', kind: 'watch', amount: 4, at: START },
    ]);
    expect(world.requests).toEqual([]);
    expect(world.sessions.stats().sessions).toBe(0);
  });

  test('what requests show of a consented session is told with how sure it is, and not once its player tells itself', () => {
    post('s', [], 'address');
    const ask = (number: number, atMs: number): void => {
      world.clock.now = START + atMs;
      const path = `/titles/t1/v_${number}.m4s`;
      world.intake.served(record({ at: world.clock.now, path, cmcd: { query: 'ot=v,d=2000,sid="s"' } }));
    };
    const drain = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    return (async () => {
      for (let number = 0; number < 5; number += 1) ask(number, number * 2_000);
      await drain();
      world.clock.now += 3_500;
      world.intake.tick();
      world.intake.tick();
      ask(5, 20_000);
      ask(30, 22_000);
      await drain();
      const shown = world.events.map(({ event: { type, confidence } }) => [type, (confidence ?? 1) > 0.5]);
      expect(shown).toEqual([
        ['pause', true],
        ['play', true],
        ['seek', true],
      ]);
      expect(world.sessions.get('s')?.actions.map(({ type }) => type)).toEqual(['seek', 'play', 'pause']);
      expect(world.sessions.get('s')?.actions[0]?.confidence).toBeGreaterThan(0.9);
      post('s', [told('pause')], 'address');
      world.clock.now += 60_000;
      world.intake.tick();
      ask(60, 100_000);
      await drain();
      expect(world.events.slice(3).map(({ event }) => event.type)).toEqual(['pause']);
    })();
  });
});

describe('the end of a day', () => {
  test('ends the memory of a viewer without a token but for what plays, while rows can still be erased', () => {
    world.clock.now = START + 11 * 3_600_000 + 59 * 60_000;
    post('s', [told('play', 't1')], 'address');
    world.clock.now += 20_000;
    post('s', [{ ...told('stop', 't1'), positionSeconds: 20 }, told('hover', 't3'), told('play', 't2')], 'address');
    expect(world.sessions.get('s')?.history.map(({ titleId }) => titleId)).toEqual(['t2', 't1']);
    world.clock.now += 60_000;
    const session = world.sessions.get('s');
    expect(session?.history.map(({ titleId }) => titleId)).toEqual(['t2']);
    expect([session?.hovers, session?.actions]).toEqual([[], []]);
    expect(session?.current?.titleId).toBe('t2');
    expect(world.sessions.erase('s').rows).toBeGreaterThan(0);
    expect(world.state.watches.since(0)).toEqual([]);
  });
});
