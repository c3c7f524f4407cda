// Access logs of every format, whole and broken, in any chunks, packed or not, and far more of them than are kept.
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readerFor } from '../../../agent/simulate/log-line.ts';
import { fileOf, readLog } from '../../../agent/simulate/read-log.ts';

const AT = Date.UTC(2026, 0, 5, 20, 15, 30) / 1000;
const COMBINED = '192.0.2.7 - - [05/Jan/2026:20:15:30 +0000] "GET /a/1.m4s?x=1 HTTP/1.1" 200 5120 "-" "Player/1"';

const asRead = (lines: readonly string[]) => {
  const reader = readerFor(lines[0] ?? '');
  return { format: reader?.name, read: lines.map((line) => reader?.read(line)) };
};
const log = (text: string | Buffer, chunks = 1 << 20) => ({
  name: 'access.log',
  open: () => {
    const bytes = Buffer.from(text);
    const parts = Array.from({ length: Math.ceil(bytes.length / chunks) }, (_, at) =>
      bytes.subarray(at * chunks, (at + 1) * chunks),
    );
    return Readable.from(parts, { objectMode: false });
  },
});

describe('lines', () => {
  const asked = { at: AT, id: '/a/1.m4s?x=1', bytes: 5120 };

  test.each([
    ['nginx combined', COMBINED, asked],
    ['another time zone', COMBINED.replace('20:15:30 +0000', '15:45:30 -0430'), asked],
    ['common, without referer', COMBINED.replace(' "-" "Player/1"', ''), asked],
    ['a user name with a blank', COMBINED.replace('- - [', '- John Doe ['), asked],
    ['quotes in a request', COMBINED.replace('/a/1.m4s?x=1', '/a\\"b'), { ...asked, id: '/a\\"b' }],
    ['an IPv6 address', COMBINED.replace('192.0.2.7', '2001:db8::7'), asked],
    [
      'varnishncsa, with the host',
      COMBINED.replace('/a/', 'http://cdn.example/a/'),
      { ...asked, id: `cdn.example${asked.id}` },
    ],
    ['a post', COMBINED.replace('GET', 'POST'), 'method'],
    ['not found', COMBINED.replace(' 200 ', ' 404 '), 'status'],
    ['not modified', COMBINED.replace(' 200 5120', ' 304 0'), 'status'],
    ['a part', COMBINED.replace(' 200 ', ' 206 '), asked],
    ['no body', COMBINED.replace(' 5120', ' -'), 'empty'],
    ['no request line', COMBINED.replace('"GET /a/1.m4s?x=1 HTTP/1.1"', '"-"'), 'malformed'],
    ['no such month', COMBINED.replace('Jan', 'Jam'), 'malformed'],
    ['letters between months', COMBINED.replace('Jan', 'anF'), 'malformed'],
    ['an unclosed quote', COMBINED.slice(0, 60), 'malformed'],
    ['a status of four digits', COMBINED.replace(' 200 ', ' 2000 '), 'malformed'],
    ['nothing of it', 'hello', 'malformed'],
  ])('combined: %s', (_, line, expected) => {
    expect(readerFor(COMBINED)?.read(line)).toEqual(expected);
  });

  test.each([
    ['1767644130.500     12 192.0.2.7 TCP_HIT/200 5120 GET http://cdn.example/a/1.m4s?x=1 - NONE/- video/mp4 -', 5120],
    ['1767644130.500     12 192.0.2.7 TCP_MISS/206 7 GET https://cdn.example/a/1.m4s?x=1 - DIRECT/o video/mp4 -', 7],
    ['1767644130.500     12 192.0.2.7 TCP_MEM_HIT/304 0 GET http://cdn.example/a/1.m4s?x=1 - NONE/- - -', 'status'],
    ['1767644130.500     12 192.0.2.7 ERR_CONNECT_FAIL/502 9 GET http://cdn.example/a - DIRECT/o - -', 'status'],
    ['1767644130.500     12 192.0.2.7 TCP_HIT/200 9 PURGE http://cdn.example/a - NONE/- - -', 'method'],
    ['1767644130.500     12 192.0.2.7', 'malformed'],
  ])('squid, as Traffic Server writes it: %s', (line, expected) => {
    const reader = readerFor('1767644130.500 0 192.0.2.7 TCP_HIT/200 9 GET http://cdn.example/a - NONE/- - -');
    expect(reader?.name).toBe('squid');
    const read = { at: AT + 0.5, id: 'cdn.example/a/1.m4s?x=1', bytes: expected };
    expect(reader?.read(line)).toEqual(typeof expected === 'number' ? read : expected);
  });

  test.each([
    [
      '{"time_iso8601":"2026-01-05T20:15:30+00:00","time":"2026-01-05T20:15:30Z","request_uri":"/a/1.m4s?x=1","status":200,"body_bytes_sent":5120,"request_method":"GET"}',
      asked,
    ],
    [
      '{"time_local":"05/Jan/2026:20:15:30 +0000","request":"GET /a/1.m4s?x=1 HTTP/1.1","status":"206","bytes_sent":"5120"}',
      asked,
    ],
    ['{"msec":"1767644130","request":"HEAD /a HTTP/1.1","status":200,"bytes_sent":0}', 'method'],
    ['{"msec":"1767644130","request":"GET /a HTTP/1.1","status":404,"bytes_sent":9}', 'status'],
    ['{"msec":"1767644130","status":200}', 'malformed'],
    ['{"msec":', 'malformed'],
    ['[1]', 'malformed'],
  ])('JSON, as nginx writes it: %s', (line, expected) => {
    const reader = readerFor('{"time":1,"url":"/","bytes":1}');
    expect(reader?.name).toBe('JSON');
    expect(reader?.read(line)).toEqual(expected);
  });

  test('W3C extended of IIS', () => {
    const { format, read } = asRead([
      '#Software: Microsoft Internet Information Services 10.0',
      '#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port c-ip sc-status sc-bytes time-taken',
      '2026-01-05 20:15:30 192.0.2.1 GET /a/1.m4s x=1 443 192.0.2.7 200 5120 31',
      '2026-01-05 20:15:30 192.0.2.1 GET /a/1.m4s - 443 192.0.2.7 200 5120 31',
      '2026-01-05 20:15:30 192.0.2.1 HEAD /a/1.m4s - 443 192.0.2.7 200 5120 31',
      '2026-01-05 20:15:30 192.0.2.1 GET /a/1.m4s - 443 192.0.2.7 200',
      '2026-01-05 late 192.0.2.1 GET /a/1.m4s - 443 192.0.2.7 200 5120 31',
    ]);
    expect(format).toBe('W3C extended');
    expect(read).toEqual([
      'comment',
      'comment',
      asked,
      { ...asked, id: '/a/1.m4s' },
      'method',
      'malformed',
      'malformed',
    ]);
  });

  test('W3C extended of CloudFront: tabs, the host of the viewer, the length of the body', () => {
    const names =
      'date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent) cs-uri-query x-host-header sc-content-len';
    const cells = [
      '2026-01-05',
      '20:15:30',
      'FRA2',
      '5600',
      '192.0.2.7',
      'GET',
      'd1.cloudfront.net',
      '/a/1.m4s',
      '200',
      '-',
      'Player%201',
      'x=1',
      'cdn.example',
      '5120',
    ];
    expect(asRead(['#Version: 1.0', `#Fields: ${names}`, cells.join('\t')]).read[2]).toEqual({
      ...asked,
      id: 'cdn.example/a/1.m4s?x=1',
    });
    const without = [...cells.slice(0, 13), '-'].join('\t');
    expect(asRead([`#Fields: ${names}`, without]).read[1]).toMatchObject({ bytes: 5600 });
  });

  test.each([
    ['seconds', 'time,url,bytes', `${AT},/a/1.m4s?x=1,5120`],
    ['milliseconds', 'timestamp,path,size', `${AT}000,/a/1.m4s?x=1,5120`],
    ['nanoseconds and semicolons', 'ts;key;bytes_sent', `${AT}000000000;/a/1.m4s?x=1;5120`],
    ['a date and quotes', '"Time","URL","Bytes","Method"', '"2026-01-05T20:15:30Z","/a/1.m4s?x=1",5120,GET'],
    ['a date without its zone', 'time,url,bytes,status', '2026-01-05 20:15:30,/a/1.m4s?x=1,5120,206'],
    ['an absolute URL', 'time,url,bytes', `${AT},https:///a/1.m4s?x=1,5120`],
  ])('CSV: %s', (_, header, line) => {
    expect(asRead([header, line])).toEqual({ format: 'CSV', read: ['comment', asked] });
  });

  test('CSV: what is wrong with a line', () => {
    const { read } = asRead([
      'time,url,bytes,note',
      `${AT},/a,5120,"one, two"`,
      `${AT},/a,5120`,
      `${AT},"/a,5120,x`,
      'never,/a,5120,x',
      `${AT},/a,-5,x`,
      `${AT},,5,x`,
      `${AT},"a ""b""",7,x`,
    ]);
    expect(read.slice(1, 7)).toEqual([
      { at: AT, id: '/a', bytes: 5120 },
      'malformed',
      'malformed',
      'malformed',
      'malformed',
      'malformed',
    ]);
    expect(read[7]).toEqual({ at: AT, id: 'a "b"', bytes: 7 });
  });

  test('traces; and what is no log', () => {
    expect(asRead(['0 5 100', '1.5\tabc\t7', '2 a', '2 a -1'])).toEqual({
      format: 'trace',
      read: [{ at: 0, id: '5', bytes: 100 }, { at: 1.5, id: 'abc', bytes: 7 }, 'malformed', 'malformed'],
    });
    for (const line of ['{"time": 1}', 'a,b,c', 'time,url', 'hello world again'])
      expect(readerFor(line)).toBeUndefined();
  });

  test('no line is too strange to be read', () => {
    const first = ['#Fields: date time cs-uri-stem sc-bytes', COMBINED, 'time,url,bytes', '1 2 3'];
    const readers = first.map((line) => readerFor(line));
    for (const [at, reader] of readers.entries()) reader?.read(first[at] ?? '');
    fc.assert(
      fc.property(fc.string({ maxLength: 200 }), (line) => {
        readerFor(line)?.read(line);
        for (const reader of readers) {
          const read = reader?.read(line);
          if (typeof read === 'object') expect(read.bytes > 0 && Number.isFinite(read.at) && read.id !== '').toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('files', () => {
  const lines = Array.from(
    { length: 300 },
    (_, at) =>
      `192.0.2.7 - - [05/Jan/2026:20:${String(10 + (at % 40))}:30 +0000] "GET /${at % 37} HTTP/1.1" 200 ${100 + at} "-" "é"`,
  );
  const text = `${lines.join('\n')}\n`;

  test.each([5, 64, 100_000])('are read in chunks of %i bytes, packed or not, in order of time', async (size) => {
    const plain = await readLog([log(text, size)]);
    expect(plain.lines).toEqual({ requests: 300, malformed: 0, method: 0, status: 0, empty: 0, comment: 0 });
    const { at, objects, count } = plain.requests;
    expect(count).toBe(37);
    expect(at.every((time, index) => index === 0 || time >= (at[index - 1] ?? 0))).toBe(true);
    expect(plain.sizes[objects[0] ?? -1]).toBeGreaterThan(300);
    expect(await readLog([log(gzipSync(text), size)])).toEqual(plain);
    expect(await readLog([log(text.replaceAll('\n', '\r\n'), size)])).toEqual(plain);
    const half = text.indexOf('\n', text.length / 2) + 1;
    const members = Buffer.concat([gzipSync(text.slice(0, half)), gzipSync(text.slice(half))]);
    expect(await readLog([log(members, size)])).toEqual(plain);
    expect(await readLog([log(text.slice(0, half), size), log(gzipSync(text.slice(half)), size)])).toEqual(plain);
  });

  test('count what is malformed, and skip lines without end without keeping them', async () => {
    const broken = ['oops', ...lines.slice(0, 200), 'x'.repeat(200_000), lines[200], '\u0000\u0000', ''].join('\n');
    const { lines: counts } = await readLog([log(broken, 10_000)]);
    expect(counts).toMatchObject({ requests: 201, malformed: 3 });
    expect((await readLog([log(`${lines[0]}\n${'x'.repeat(200_000)}`)])).lines).toMatchObject({
      requests: 1,
      malformed: 1,
    });
  });

  test('that cannot be played are refused with what is wrong', async () => {
    const refused = async (content: string | Buffer, why: RegExp) =>
      expect(readLog([log(content)])).rejects.toMatchObject({ code: 'AGENT_LOG_UNREADABLE', message: why });
    await refused('', /access\.log is empty/);
    await refused('{"a": 1}\n'.repeat(50), /none of the known formats.*a line of it: \{"a": 1\}/);
    await refused('hello', /none of the known formats/);
    await refused(`${COMBINED.replace('GET', 'POST')}\n`, /no request for a cache.* 1 are of another method/);
    await refused(`${COMBINED}\nx\ny\n`, /is not combined, as its beginning seems: 2 lines are malformed/);
    await refused(gzipSync(text).subarray(0, 200), /cannot be read \(.*end of file/);
    await expect(readLog([fileOf('/nowhere/access.log')])).rejects.toMatchObject({
      code: 'AGENT_LOG_UNREADABLE',
      message: /\/nowhere\/access\.log cannot be read \(ENOENT/,
    });
  });

  test('beyond the bounds every second object is left out with all its requests', async () => {
    const many = Array.from({ length: 20_000 }, (_, at) => `${at} ${(at * 7919) % 5000} ${1 + ((at * 7919) % 5000)}`);
    const bounded = await readLog([log(many.join('\n'))], { bounds: { requests: 100_000, objects: 1000 } });
    const { requests, sizes, sampleRatio } = bounded;
    expect(requests.count).toBeLessThan(1000);
    expect([1 / 4, 1 / 8, 1 / 16]).toContain(sampleRatio);
    expect(Math.abs(requests.count / sampleRatio / 5000 - 1)).toBeLessThan(0.15);
    // Each object was asked for four times, by its own size.
    expect(requests.objects).toHaveLength(requests.count * 4);
    expect(requests.bytes.every((bytes, index) => bytes === sizes[requests.objects[index] ?? -1])).toBe(true);
    const short = await readLog([log(many.join('\n'))], { bounds: { requests: 3000, objects: 100_000 } });
    expect(short.requests.objects.length).toBeLessThan(3000);
    expect(short.requests.objects).toHaveLength(short.requests.count * 4);
  });
});
