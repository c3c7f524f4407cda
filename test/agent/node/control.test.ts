// What an operator does to a running node from the command line: purge by tag and group, preposition, pin, explain.
import { rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import {
  catalogue,
  command,
  configText,
  leavePlace,
  makePlace,
  openWorld,
  publish,
  sample,
  type World,
} from './world.ts';

const fresh = { 'cache-control': 'max-age=600' };

let world: World;
let cases = 0;
/** A folder of the origin for one test. */
let root: string;
beforeAll(async () => {
  world = await openWorld({ hosts: [{ names: ['cdn.test'] }, { names: ['*'] }] });
});
afterAll(() => world?.close());
beforeEach(() => {
  cases += 1;
  root = `/case-${cases}`;
});

const nearcast = (...args: string[]) => command([...args, '--socket', world.socket]);

function put(path: string, headers: Readonly<Record<string, string>> = {}, body = 'x'.repeat(1000)): string {
  world.origin.set(`${root}${path}`, { body, headers: { ...fresh, ...headers } });
  return `${root}${path}`;
}

/** A multivariant playlist with a media playlist of three segments and an init segment, and a text track. */
function putHls(): readonly string[] {
  const type = { 'content-type': 'application/vnd.apple.mpegurl' };
  const segments = [0, 1, 2].map((n) => put(`/v/s${n}.m4s`));
  const media = ['#EXTM3U', '#EXT-X-TARGETDURATION:4', '#EXT-X-MAP:URI="init.mp4"'];
  for (const n of [0, 1, 2]) media.push('#EXTINF:4,', `s${n}.m4s`);
  const text = ['#EXTM3U', '#EXT-X-TARGETDURATION:12', '#EXTINF:12,', 'all.vtt', '#EXT-X-ENDLIST'];
  const master = [
    '#EXTM3U',
    '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="t",NAME="en",URI="t/p.m3u8"',
    '#EXT-X-STREAM-INF:BANDWIDTH=1000000,SUBTITLES="t"',
    'v/p.m3u8',
  ];
  return [
    put('/master.m3u8', type, master.join('\n')),
    put('/v/p.m3u8', type, [...media, '#EXT-X-ENDLIST'].join('\n')),
    put('/t/p.m3u8', type, text.join('\n')),
    ...[put('/v/init.mp4'), put('/t/all.vtt'), ...segments],
  ];
}

test('purge by tag, of every host or of one, softly or for good', async () => {
  for (const n of [1, 2, 3]) await world.get(put(`/${n}`, { 'cache-tag': `news-${cases}, title-${n}` }));
  expect((await nearcast('purge', '--tag', `news-${cases}`, '--soft')).stdout).toBe(
    '3 objects marked to be revalidated\n',
  );
  expect((await nearcast('purge', '--tag', `title-2`, '--json')).stdout).toMatch(/"objects": 1/);
  expect((await nearcast('purge', '--tag', `news-${cases}`, '--host', 'cdn.test')).stdout).toBe('2 objects removed\n');
  expect((await nearcast('purge', '--tag', `news-${cases}`, '--host', 'else.where')).stdout).toBe(
    '0 objects removed\n',
  );
  expect(await nearcast('purge', '--tag', 'a b')).toMatchObject({ code: 1, stderr: expect.stringMatching(/a tag is/) });
});

test('purge by group, by prefix with --host, and of an absolute URL', async () => {
  for (const n of [1, 2, 3]) await world.get(put(`/${n}`, { 'cache-groups': `"group ${cases}"` }));
  expect((await nearcast('purge', `https://cdn.test${root}/1`)).stdout).toBe('1 object removed\n');
  expect((await nearcast('purge', '--prefix', `${root}/2`, '--host', 'cdn.test')).stdout).toBe('1 object removed\n');
  expect((await nearcast('purge', '--group', `group ${cases}`)).stdout).toBe('1 object removed\n');
});

test('preposition of a manifest fetches all that it names, once; run again, it fetches what was missing', async () => {
  const urls = putHls();
  const first = await nearcast('preposition', `${root}/master.m3u8`);
  expect(first).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^8 of 8 URLs: \d fetched, \d were there, 0 not/),
  });
  for (const url of urls) expect(world.origin.seen(url)).toHaveLength(1);
  await nearcast('purge', `${root}/v/s1.m4s`);
  const second = await nearcast('preposition', `${root}/master.m3u8`, '--pin', '--json');
  expect(JSON.parse(second.stdout)).toMatchObject({ done: 8, outcomes: { stored: 1, held: 7 }, failures: [] });
  const third = await nearcast('explain', `${root}/v/s0.m4s`);
  expect(third.stdout).toMatch(/eviction +pinned/);
});

test('what cannot be fetched is named with its reason, and the command fails', async () => {
  world.origin.set(`${root}/private`, { body: 'x', headers: { 'cache-control': 'private' } });
  world.origin.set(`${root}/gone`, { status: 503 });
  const list = join(world.dir, 'list.txt');
  writeFileSync(list, `# urls\n${put('/good')}\n\n${root}/private\n${root}/gone\n`);
  const { code, stdout } = await nearcast('preposition', '--file', list);
  expect(code).toBe(1);
  expect(stdout).toMatch(/^3 of 3 URLs: 1 fetched, 0 were there, 2 not fetched/);
  expect(stdout).toContain(`${root}/private: the answer may not be stored`);
  expect(stdout).toContain(`${root}/gone: `);
  rmSync(list);
  expect(await nearcast('preposition', put('/no.m3u8', {}, 'no manifest'))).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/no manifest that can be read/),
  });
});

test('a title of the catalogue is prepositioned whole; without waiting it goes on alone', async () => {
  const title = publish(world, 'wanted', 2);
  catalogue(world, [{ id: 'wanted' }]);
  const began = await nearcast('preposition', '--title', 'wanted', '--no-wait');
  expect(began).toMatchObject({ code: 0, stdout: '1 job begun\n' });
  for (const path of title.allSegments) await world.origin.asked(path, 1);
  expect(await nearcast('preposition', '--title', 'nothing')).toMatchObject({ code: 1 });
});

test('pin and unpin, by URL and prefix', async () => {
  for (const n of [1, 2]) await world.get(put(`/${n}`));
  expect((await nearcast('pin', `${root}/1`)).stdout).toBe('1 object pinned\n');
  expect((await nearcast('unpin', '--prefix', `${root}/`)).stdout).toBe('2 objects unpinned\n');
  expect(await nearcast('pin', `${root}/9`)).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/--pin" fetches/),
  });
});

test('explain says for people why a URL is fresh, and what is next', async () => {
  await world.get(put('/a', { 'cache-tag': 'news', 'cache-groups': '"g"', etag: '"e"' }));
  const { stdout } = await nearcast('explain', `${root}/a`);
  for (const pattern of [
    new RegExp(`^${root}/a\n`),
    new RegExp(`key +main ${root}/a\n`),
    /host +cdn\.test\n/,
    /stored +status 200 in memory, 1000 B, since \d{4}-.*Z \(age \d s\): a viewer asked for it\n/,
    /fresh +for (9 min 5\d s|10 min 0 s) more, because of max-age=600 in Cache-Control\n/,
    /next +a hit from memory/,
    /eviction +on trial: leaves first unless used twice, .* before it there; 0 uses count for it\n/,
    /tags +news\n/,
    /groups +g\n/,
    /cache-control: max-age=600\n/,
  ])
    expect(stdout).toMatch(pattern);
  const nothing = await nearcast('explain', `${root}/nothing`);
  expect(nothing.stdout).toMatch(/stored +nothing\n.*next +a miss/s);
});

test('plan answers; of models there is nothing to say where there is none', async () => {
  expect(JSON.parse((await nearcast('plan')).stdout)).toHaveProperty('runs');
  expect(await nearcast('model', 'list')).toMatchObject({ code: 1, stderr: expect.stringMatching(/without a model/) });
});

test('sign makes tokens that the node takes, of both kinds and for a prefix', async () => {
  const place = await makePlace();
  writeFileSync(join(place.dir, 'key'), `${'s'.repeat(32)}\n`);
  const keys = [{ id: 'k1', secret: { file: join(place.dir, 'key') } }];
  const hosts = [
    { names: ['hmac.test'], signing: { scheme: 'hmac', keys } },
    { names: ['cat.test'], signing: { scheme: 'cat', keys, issuer: 'https://issuer.test', audience: ['cdn'] } },
    { names: ['path.test'], signing: { scheme: 'hmac', keys, pathPrefix: '/_t/' } },
    { names: ['plain.test'] },
  ];
  const signing = await openWorld({ hosts }, { place });
  try {
    const config = join(place.dir, 'nearcast.yaml');
    writeFileSync(config, configText(place.origin.url, { hosts }));
    for (const path of ['/film/1', '/film/2']) place.origin.set(path, { body: 'x', headers: fresh });
    for (const host of ['hmac.test', 'cat.test', 'path.test']) {
      const made = await command(['sign', `https://${host}/film/1`, '--config', config, '--prefix', '/film/']);
      expect(made).toMatchObject({ code: 0, stderr: '' });
      const url = new URL(made.stdout.trim());
      const get = async (target: string) => (await getAs(signing.url, target, host)).status;
      expect(await get(url.pathname + url.search)).toBe(200);
      expect(await get((url.pathname + url.search).replace('/film/1', '/film/2'))).toBe(200);
      expect(await get((url.pathname + url.search).replace('/film/1', '/else'))).toBe(403);
      expect(await get('/film/1')).toBe(403);
    }
    expect(sample(await signing.metrics(), 'nearcast_cache_denied_total{reason="TOKEN_PATH"}')).toBe(3);
    expect(await command(['sign', 'https://plain.test/a', '--config', config])).toMatchObject({
      code: 78,
      stderr: expect.stringMatching(/no host has the name "plain.test" and signing/),
    });
  } finally {
    await signing.close();
    await leavePlace(place);
  }
});

test('a secret that is too short, or not there, ends the start with where it stands', async () => {
  const hosts = [{ names: ['a.test'], purgeTokens: [{ env: 'SHORT_TOKEN' }] }];
  await expect(openWorld({ hosts }, { env: { SHORT_TOKEN: 'short' } })).rejects.toThrow(
    /hosts\[0\]\.purgeTokens\[0\] has fewer/,
  );
  await expect(openWorld({ hosts })).rejects.toThrow(/hosts\[0\]\.purgeTokens\[0\] is empty/);
});

/** GET with a Host of one's own, which fetch does not allow. */
function getAs(url: string, path: string, host: string): Promise<{ readonly status: number }> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    const request = httpRequest({ hostname, port, path, headers: { host }, agent: false }, (response) => {
      response.resume();
      response.once('end', () => resolve({ status: response.statusCode ?? 0 }));
    });
    request.once('error', reject);
    request.end();
  });
}
