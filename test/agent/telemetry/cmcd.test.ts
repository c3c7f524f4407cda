// CMCD of both versions by every way it travels: by table, by property, and against captures of real players.
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { encodeCmcd } from '@svta/cml-cmcd';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type CmcdReport, parseCmcd, parseCmcdEvents } from '../../../agent/telemetry/cmcd.ts';

const none = { nextObjectUrls: [], isStartup: false, isStarved: false };

describe('CMCD of a request', () => {
  test.each<[name: string, query: string, expected: CmcdReport | undefined]>([
    [
      'version 1, as hls.js sends it',
      'bl=2000,br=950,d=2000,dl=2000,mtp=22400,nor="v0_002.m4s",ot=av,rtp=4800,sf=h,sid="51a0269a",st=v,su,tb=950',
      {
        version: 1,
        sid: expect.stringMatching('51a0269a'),
        objectType: 'muxed',
        bitrateKbps: 950,
        throughputKbps: 22400,
        topBitrateKbps: 950,
        bufferMs: 2000,
        objectSeconds: 2,
        nextObjectUrls: ['v0_002.m4s'],
        isStartup: true,
        isStarved: false,
      },
    ],
    [
      'version 2 with inner lists and object types, as dash.js sends it',
      'ab=(800;v 64;a),bl=(1900;v),br=(64;a 800;v),cid="title-42",nor=("c-2.m4s";r="0-9" "c-3.m4s"),ot=v,sta=r,pr=1.5,pt=12500,v=2',
      {
        version: 2,
        cid: 'title-42',
        objectType: 'video',
        bitrateKbps: 800,
        bufferMs: 1900,
        nextObjectUrls: ['c-2.m4s', 'c-3.m4s'],
        playState: 'rebuffering',
        rate: 1.5,
        positionSeconds: 12.5,
        isStartup: false,
        isStarved: false,
      },
    ],
    [
      'percent-encoded as a whole',
      'br%3D950%2Csu%2Csid%3D%22a%22',
      expect.objectContaining({ bitrateKbps: 950, sid: 'a' }),
    ],
    ['with its parameter name', 'CMCD=br=950,bs', { version: 1, bitrateKbps: 950, ...none, isStarved: true }],
    [
      'a next object of version 1 is decoded',
      'nor="..%2Fb%20c.m4s"',
      { version: 1, ...none, nextObjectUrls: ['../b c.m4s'] },
    ],
    [
      'an unquoted session id',
      'sid=51a0269a-86fa,br=7',
      { version: 1, sid: expect.any(String), bitrateKbps: 7, ...none },
    ],
    ['one bad member costs no other', 'br=950,Bad="x,ot=v', { version: 1, bitrateKbps: 950, ...none }],
    ['numbers out of bounds are not known', 'br=-1,d=99999999,bl=5', { version: 1, bufferMs: 5, ...none }],
    ['unknown codes are not known', 'ot=zz,sta=z,br=1', { version: 1, bitrateKbps: 1, ...none }],
    ['inherited names are no codes', 'ot=constructor,sta=toString,br=1', { version: 1, bitrateKbps: 1, ...none }],
    ['nothing', '', undefined],
    ['nothing to read', '"""', undefined],
    ['too long', `cid="${'x'.repeat(5000)}"`, undefined],
  ])('%s', (_name, query, expected) => {
    expect(parseCmcd({ query })).toEqual(expected);
  });

  test('in four headers', () => {
    const headers = {
      'cmcd-status': 'rtp=4800,bs',
      'cmcd-object': 'br=950,d=2000,ot=av,tb=950',
      'cmcd-session': 'cid="title-42",sf=h,sid="s-1",st=v',
      'cmcd-request': 'bl=0,dl=0,mtp=1000,nor="v0_001.m4s",su',
    };
    expect(parseCmcd({ headers })).toEqual({
      version: 1,
      sid: 's-1',
      cid: 'title-42',
      objectType: 'muxed',
      bitrateKbps: 950,
      bufferMs: 0,
      throughputKbps: 1000,
      topBitrateKbps: 950,
      objectSeconds: 2,
      nextObjectUrls: ['v0_001.m4s'],
      isStartup: true,
      isStarved: true,
    });
  });

  test('at most eight next objects are kept', () => {
    const list = Array.from({ length: 30 }, (_, i) => `"${i}.m4s"`).join(' ');
    expect(parseCmcd({ query: `nor=(${list}),v=2` })?.nextObjectUrls).toHaveLength(8);
  });

  test('any text is read or not, within bounds, and never throws', () => {
    const member = fc.constantFrom(
      'br=',
      'sid="',
      'nor=(',
      '"',
      ')',
      'v=2',
      ',',
      'ot=v',
      ';v',
      '%',
      '(',
      '=',
      '__proto__=1',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(member).map((parts) => parts.join('')),
        ),
        (query) => {
          const report = parseCmcd({ query, headers: { 'cmcd-object': query } });
          expect(report?.nextObjectUrls.length ?? 0).toBeLessThanOrEqual(8);
          expect(parseCmcdEvents(query).reports.length).toBeLessThanOrEqual(64);
        },
      ),
      { numRuns: 500 },
    );
  });

  test('what the reference encoder writes is read back', () => {
    const id = fc.stringMatching(/^[A-Za-z0-9-]{1,40}$/);
    fc.assert(
      fc.property(id, id, fc.nat(50_000), fc.nat(60), (sid, cid, bitrate, buffer) => {
        for (const version of [1, 2] as const) {
          const query = encodeCmcd({ sid, cid, br: [bitrate], bl: [buffer * 100], ot: 'v', su: true }, { version });
          expect(parseCmcd({ query })).toMatchObject({
            sid,
            cid,
            bitrateKbps: bitrate,
            objectType: 'video',
            isStartup: true,
          });
        }
      }),
      { numRuns: 50 },
    );
  });
});

describe('CMCD in event mode', () => {
  test('is one report a line', () => {
    const body = 'e=ps,sta=p,ts=1795174381734,v=2,sid="a"\n\ne=ce,cen="hover",cid="t",ts=1795174381735,v=2\nBROKEN\n';
    expect(parseCmcdEvents(body)).toEqual({
      reports: [
        { version: 2, sid: 'a', event: 'ps', playState: 'playing', at: 1795174381734, ...none },
        { version: 2, cid: 't', event: 'ce', customEvent: 'hover', at: 1795174381735, ...none },
      ],
      invalid: 1,
    });
  });

  test('of a response names what was asked for', () => {
    const [report] = parseCmcdEvents('e=rr,rc=200,url="http://cdn.example/titles/t1/v_1.m4s",v=2,ts=5').reports;
    expect(report).toMatchObject({ event: 'rr', url: 'http://cdn.example/titles/t1/v_1.m4s' });
    expect(parseCmcdEvents(`e=rr,url="${'x'.repeat(3000)}",v=2`).reports[0]?.url).toBeUndefined();
  });

  test('keeps at most 64 reports and counts the others', () => {
    expect(parseCmcdEvents('e=t,v=2\n'.repeat(100))).toMatchObject({ reports: { length: 64 }, invalid: 36 });
  });
});

const captures = fileURLToPath(new URL('../../../../shared/data/cmcd/hlsjs-dashjs.jsonl', import.meta.url));
describe.skipIf(!existsSync(captures))('[shared] captures of hls.js and dash.js', () => {
  type Captured = {
    tag: string;
    m: string;
    p: string;
    q?: string;
    h: Record<string, string>;
    body?: string;
    ct?: string;
  };
  const requests = (): readonly Captured[] =>
    readFileSync(captures, 'utf8')
      .trim()
      .split('\n')
      // Sound: written by the capture tool, in the shape that its README gives.
      .map((line) => JSON.parse(line) as Captured);

  test('every request with CMCD is read, with its session and its bitrate', () => {
    const carrying = requests().filter((it) => it.q !== undefined || Object.keys(it.h).length > 0);
    const reports = carrying.map((it) => ({
      it,
      report: parseCmcd({ ...(it.q === undefined ? {} : { query: it.q }), headers: it.h }),
    }));
    expect(reports.length).toBeGreaterThan(300);
    for (const { it, report } of reports) {
      expect(report, JSON.stringify(it)).toBeDefined();
      expect(report?.version).toBe(it.tag.includes('v2') ? 2 : 1);
      expect(report?.sid, JSON.stringify(it)).toMatch(/^[a-z0-9-]+$/);
      if (/\bbr=/.test(it.q ?? '')) expect(report?.bitrateKbps, it.q).toBeGreaterThan(0);
      if (/\bnor=/.test(it.q ?? '')) expect(report?.nextObjectUrls, it.q).toHaveLength(1);
    }
  });

  test('every posted report is read, and no line is lost', () => {
    const posts = requests().filter((it) => it.ct === 'application/cmcd');
    expect(posts.length).toBeGreaterThan(150);
    const kinds = new Set<string>();
    for (const { body = '' } of posts) {
      const { reports, invalid } = parseCmcdEvents(body);
      expect({ body, invalid, reports: reports.length }).toEqual({
        body,
        invalid: 0,
        reports: body.trim().split('\n').length,
      });
      for (const report of reports) {
        kinds.add(report.event ?? '');
        expect(report.at, body).toBeGreaterThan(1.79e12);
      }
    }
    expect([...kinds].sort()).toEqual(['bc', 'ce', 'pr', 'ps', 'rr', 't']);
  });

  test('players tell when they start, play and pause', () => {
    const states = requests()
      .filter((it) => it.tag === 'hls-v2-event' && it.ct === 'application/cmcd')
      .flatMap((it) => parseCmcdEvents(it.body ?? '').reports)
      .filter((report) => report.event === 'ps')
      .map((report) => report.playState);
    expect(states).toEqual(expect.arrayContaining(['preloading', 'starting', 'playing', 'paused']));
  });
});
