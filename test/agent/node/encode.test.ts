// Encoding through a whole node and through `nearcast encode`: real ffmpeg on a clip of 2 s, good and bad.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findFfmpeg } from '../../../agent/encoder-process.ts';
import { processesNaming } from '../../e2e/process.ts';
import { command, type Line, leavePlace, makePlace, openWorld, type Place, sample, type World } from './world.ts';

let place: Place;
let world: World;
let clip: string;
beforeAll(async () => {
  place = await makePlace();
  clip = join(place.dir, 'clip.mp4');
  const found = await findFfmpeg(process.env);
  if (!found.ok) throw new Error(found.message);
  const source = ['-f', 'lavfi', '-i', 'testsrc2=s=160x90:r=25:d=2'];
  execFileSync(found.path, ['-v', 'error', '-y', ...source, '-c:v', 'libx264', '-pix_fmt', 'yuv420p', clip]);
  world = await openWorld({ encode: { enabled: true } }, { place });
});
afterAll(async () => {
  await world?.close();
  await leavePlace(place);
});

const BIG = 120_000;

type Job = { readonly id: string; readonly state: string; readonly failure?: { code: string; message: string } };

/** The job's status once it has ended. */
async function ended(of: World, id: string): Promise<Job> {
  const job = async () => {
    // The node's own answer; its shape is held by the assertions on it.
    const { encodes } = (await of.ask('GET', '/status')) as { encodes: readonly Job[] };
    return encodes.find((candidate) => candidate.id === id);
  };
  await expect
    .poll(async () => (await job())?.state, { timeout: BIG, interval: 50 })
    .toSatisfy((state) => state === 'done' || state === 'failed');
  const found = await job();
  if (found === undefined) throw new Error(`no job ${id}`);
  return found;
}

/** The clip with its sample entry called encrypted, as common encryption does. */
function sealed(file: string): Buffer {
  const bytes = readFileSync(file);
  const entry = bytes.lastIndexOf('avc1');
  bytes.write('encv', entry, 'latin1');
  return bytes;
}

test.each<[string, () => Buffer | undefined, string]>([
  ['is empty', () => Buffer.alloc(0), 'ENCODER_INPUT_CORRUPT'],
  ['is noise', () => Buffer.from(Array.from({ length: 50_000 }, (_, i) => (i * 7919) % 251)), 'ENCODER_INPUT_CORRUPT'],
  ['is cut off', () => readFileSync(clip).subarray(0, 6_000), 'ENCODER_INPUT_CORRUPT'],
  ['is encrypted', () => sealed(clip), 'ENCODER_INPUT_SEALED'],
  ['is not there', () => undefined, 'ENCODER_INPUT_MISSING'],
])(
  'a video that %s fails with a code, and nothing is published',
  async (name, bytes, code) => {
    const id = name.replaceAll(' ', '-');
    const input = join(place.dir, `${id}.mp4`);
    const content = bytes();
    if (content !== undefined) writeFileSync(input, content);
    expect(await world.ask('POST', '/encode', { input, id })).toEqual({ isNew: true });
    const job = await ended(world, id);
    expect(job.state).toBe('failed');
    expect(job.failure?.code).toBe(code);
    expect(job.failure?.message).not.toMatch(/\n/);
    expect(readdirSync(join(place.dir, 'titles'))).not.toContain(id);
    const listed = JSON.parse((await world.get('/.nearcast/titles')).body.toString());
    expect(listed).toEqual([]);
    expect((await world.get('/.nearcast/activity')).status).toBe(200);
  },
  BIG,
);

test('failures are counted, and a job of bad shape is refused at once', async () => {
  expect(sample(await world.metrics(), 'nearcast_encode_jobs_total{outcome="failed"}')).toBe(5);
  await expect(world.ask('POST', '/encode', { input: clip, id: '../escape' })).rejects.toThrow(/\(400\)/);
  await expect(world.ask('POST', '/encode', { id: 'x' })).rejects.toThrow(/input/);
  expect(sample(await world.metrics(), 'nearcast_encode_jobs_total{outcome="started"}')).toBe(5);
});

test('while encoding is paused jobs wait, one for each title', async () => {
  await world.ask('POST', '/pause', { what: 'encode' });
  const job = { input: join(place.dir, 'nothing-there.mp4'), id: 'waiting' };
  expect(await world.ask('POST', '/encode', job)).toEqual({ isNew: true });
  expect(await world.ask('POST', '/encode', job)).toEqual({ isNew: false });
  const listed = JSON.parse((await world.get('/.nearcast/titles')).body.toString());
  expect(listed).toMatchObject([{ id: 'waiting', ready: false, progressRatio: 0 }]);
  expect(await world.ask('GET', '/status')).toMatchObject({
    encodes: expect.arrayContaining([expect.objectContaining({ id: 'waiting', state: 'queued' })]),
  });
  await world.ask('POST', '/resume', { what: 'encode' });
  expect((await ended(world, 'waiting')).failure?.code).toBe('ENCODER_INPUT_MISSING');
});

test('a job that cannot be written down is refused, and is none', async () => {
  mkdirSync(join(place.dir, 'state', 'encode', 'jobs', 'blocked.json.tmp'));
  await expect(world.ask('POST', '/encode', { input: clip, id: 'blocked' })).rejects.toThrow(/EISDIR/);
  expect(JSON.stringify(await world.ask('GET', '/status'))).not.toContain('blocked');
});

test(
  'without an ffmpeg the node serves, and a job says in one line what to set',
  async () => {
    const dir = join(place.dir, 'without');
    mkdirSync(dir);
    const env = { PATH: '/nonexistent', FFMPEG_PATH: '/nonexistent/ffmpeg' };
    const node = await openWorld({ encode: { enabled: true } }, { place: { dir, origin: place.origin }, env });
    try {
      place.origin.set('/clip.m4s', { body: 'bytes' });
      await node.ask('POST', '/encode', { input: clip, id: 'clip' });
      const job = await ended(node, 'clip');
      expect(job.failure).toMatchObject({
        code: 'ENCODER_FFMPEG_MISSING',
        message: expect.stringMatching(/^FFMPEG_PATH is \/nonexistent\/ffmpeg, but [^\n]*set FFMPEG_PATH[^\n]*$/),
      });
      expect((await node.get('/clip.m4s')).body.toString()).toBe('bytes');
      expect(readdirSync(join(dir, 'titles'))).toEqual([]);
      const failed = node.logged().filter((line) => JSON.stringify(line).includes('FFMPEG_PATH'));
      expect(failed).toHaveLength(1);
    } finally {
      await node.close();
    }
  },
  BIG,
);

const lines = (text: string): readonly Line[] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

test(
  'nearcast encode publishes a package; run again, it reads its journal and ends at the same hash',
  async () => {
    const out = join(place.dir, 'published');
    const first = await command(['encode', clip, out, '--id', 'clip']);
    expect(first).toMatchObject({ code: 0, stderr: '' });
    const events = lines(first.stdout);
    const done = events.at(-1);
    expect(done).toMatchObject({ event: 'done', id: 'clip', published: true });
    expect(events.filter(({ event }) => event === 'trial').every(({ resumed }) => resumed === false)).toBe(true);
    expect(readdirSync(join(out, 'clip'))).toContain(String(done?.['hash']));

    const second = await command(['encode', clip, out, '--id', 'clip']);
    expect(second.code).toBe(0);
    const again = lines(second.stdout);
    expect(again.at(-1)).toMatchObject({ event: 'done', hash: done?.['hash'] });
    const trials = again.filter(({ event }) => event === 'trial');
    expect(trials.every(({ resumed }) => resumed === true)).toBe(true);
    expect(Number(again.at(-1)?.['cpuSeconds'])).toBeLessThan(Number(done?.['cpuSeconds']));

    const bad = await command(['encode', join(place.dir, 'nothing.mp4'), out]);
    expect(bad).toMatchObject({
      code: 65,
      stderr: expect.stringMatching(/^nearcast encode: ENCODER_INPUT_MISSING: .*\n$/),
    });
    const wrong = await command(['encode', clip, out, '--vmaf-cap', 'lots']);
    expect(wrong).toMatchObject({ code: 64, stderr: expect.stringContaining('ladder.vmafCap') });
  },
  BIG,
);

test(
  'an encode that a stop interrupts goes on in the next node, and nothing is left running between them',
  async () => {
    const dir = join(place.dir, 'interrupted');
    mkdirSync(dir);
    const settings = { encode: { enabled: true } };
    const first = await openWorld(settings, { place: { dir, origin: place.origin } });
    await first.ask('POST', '/encode', { input: clip, id: 'clip' });
    const step = async () => JSON.stringify(await first.ask('GET', '/status'));
    await expect.poll(step, { timeout: BIG, interval: 5 }).toMatch(/"step":"(trial|rendition|package)"/);
    await first.stop();
    expect(processesNaming(join(dir, 'state'))).toEqual([]);
    const second = await openWorld(settings, { place: { dir, origin: place.origin } });
    try {
      expect(await ended(second, 'clip')).toMatchObject({ state: 'done' });
      await second.line('encode.published');
      expect(readdirSync(join(dir, 'titles', 'clip'))).toContain('latest.json');
      expect(readdirSync(join(dir, 'state', 'encode', 'jobs'))).toEqual([]);
    } finally {
      await second.close();
    }
  },
  BIG,
);

test(
  'the same clip through the node is published, served warm and listed',
  async () => {
    const origin = await import('../../../agent/commands/origin.ts');
    const dir = join(place.dir, 'whole');
    mkdirSync(join(dir, 'titles'), { recursive: true });
    const server = await origin.openOrigin({ dir, host: '127.0.0.1', port: 0, log: () => undefined });
    const node = await openWorld(
      {
        encode: { enabled: true },
        origins: [{ name: 'own', url: `http://127.0.0.1:${server.port}`, match: '/' }],
      },
      { place: { dir, origin: place.origin } },
    );
    try {
      await node.ask('POST', '/encode', { input: clip, id: 'clip', name: 'A clip' });
      const published = await node.line('encode.published');
      expect(published).toMatchObject({ id: 'clip', warmBytes: expect.any(Number) });
      const [listed] = JSON.parse((await node.get('/.nearcast/titles')).body.toString());
      expect(listed).toMatchObject({ id: 'clip', name: 'A clip', ready: true, progressRatio: 1 });
      const poster = await node.get(listed.poster);
      expect(poster.headers.get('cache-status')).toMatch(/; ?hit\b/);
      expect(poster.body.subarray(0, 2)).toEqual(Buffer.from([0xff, 0xd8]));
      expect((await node.get(listed.manifestUrl)).body.toString()).toMatch(/^#EXTM3U/);
      expect(await node.ask('GET', '/explain?title=clip')).toMatchObject({ package: { hash: published['hash'] } });
      expect(sample(await node.metrics(), 'nearcast_encode_jobs_total{outcome="done"}')).toBe(1);
    } finally {
      await node.close();
      await server.close();
    }
  },
  BIG,
);
