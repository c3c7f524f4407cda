// Input from outside at its worst: damaged, encrypted, greedy, or reaching out. One coded error each, and nothing decoded
// that need not be.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { FfmpegTool } from '../../../encoder/ffmpeg/find.ts';
import { probe } from '../../../encoder/ffmpeg/probe.ts';
import { isSealed } from '../../../encoder/ffmpeg/sealed.ts';
import { findShots } from '../../../encoder/ffmpeg/shots.ts';
import { findTool, make, makeFolder, makeScript, openOne } from '../clips.ts';
import { fuzz } from '../fuzzing.ts';
import { makeHostile } from '../hostile.ts';
import { makeSeeds } from '../mutate.ts';

const { folder, remove } = makeFolder();
const at = (name: string): string => join(folder, name);
let tool: FfmpegTool;
let seeds: ReadonlyMap<string, Buffer>;
beforeAll(async () => {
  tool = await findTool();
  seeds = makeSeeds(tool, folder);
});
afterAll(remove);

const { signal } = new AbortController();
type Limits = { readonly maxPixels?: number; readonly maxSeconds?: number; readonly memoryMegabytes?: number };
const probeFile = (path: string, limits: Limits = {}, used = tool) =>
  probe(used, { input: path, maxPixels: 16e6, signal, ...limits });
const written = (name: string, bytes: Buffer | string): string => {
  writeFileSync(at(name), bytes);
  return at(name);
};

test('200 damaged files end in a coded error or are taken; none crashes, hangs or is blamed on us', async () => {
  expect(seeds.size).toBeGreaterThan(8);
  const { counts, wrong } = await fuzz(tool, { folder, seeds }, { cases: 200, seed: 1, parallel: 2, decodeEvery: 20 });
  expect(wrong).toEqual([]);
  expect(Object.values(counts).reduce((sum, count) => sum + count, 0)).toBe(200);
  expect(counts['ENCODER_INPUT_CORRUPT']).toBeGreaterThan(20);
  expect(counts['fine']).toBeGreaterThan(20);
});

describe('encrypted', () => {
  const box = (type: string, ...body: readonly Buffer[]): Buffer => {
    const bytes = Buffer.concat([Buffer.alloc(4), Buffer.from(type), ...body]);
    bytes.writeUInt32BE(bytes.length, 0);
    return bytes;
  };
  const inside = (types: readonly string[], core: Buffer): Buffer =>
    types.toReversed().reduce<Buffer>((body, type) => box(type, body), core);
  const mp4 = (entry: string): Buffer =>
    inside(['moov', 'trak', 'mdia', 'minf', 'stbl'], box('stsd', Buffer.alloc(8), box(entry, Buffer.alloc(20))));
  const element = (id: string, body: Buffer): Buffer =>
    Buffer.concat([
      Buffer.from(id, 'hex'),
      Buffer.from([0x40 + Math.floor(body.length / 256), body.length % 256]),
      body,
    ]);
  const matroska = (...ids: readonly string[]): Buffer =>
    Buffer.concat([
      element('1a45dfa3', Buffer.alloc(4)),
      ids.toReversed().reduce<Buffer>((body, id) => element(id, body), Buffer.alloc(2)),
    ]);
  const scrambled = (every: number): Buffer => {
    const bytes = Buffer.from(seeds.get('mpeg2.ts') ?? Buffer.alloc(0));
    for (let packet = 0; packet * 188 < bytes.length; packet++) {
      const control = packet * 188 + 3;
      if (packet % every === 0) bytes[control] = (bytes[control] ?? 0) | 0x80;
    }
    return bytes;
  };
  const asf = (guid: string): Buffer =>
    Buffer.concat([Buffer.from('3026b2758e66cf11a6d900aa0062ce6c', 'hex'), Buffer.alloc(40), Buffer.from(guid, 'hex')]);

  const cases: readonly (readonly [string, boolean, () => Buffer])[] = [
    ['MP4, protected video', true, () => mp4('encv')],
    ['MP4, protected sound', true, () => mp4('enca')],
    ['MP4, FairPlay', true, () => mp4('drmi')],
    ['MP4, clear', false, () => mp4('avc1')],
    ['MP4, nested a hundred thousand deep', false, () => Buffer.from('\xff\xff\xff\xfftrak'.repeat(100_000), 'latin1')],
    ['Matroska, ContentEncryption', true, () => matroska('18538067', '1654ae6b', 'ae', '6d80', '6240', '5035')],
    ['Matroska, compressed headers', false, () => matroska('18538067', '1654ae6b', 'ae', '6d80', '6240', '5034')],
    ['Matroska, nested without end', false, () => Buffer.from(`1a45dfa380${'aeff'.repeat(100_000)}`, 'hex')],
    ['MPEG-TS, scrambled', true, () => scrambled(2)],
    ['MPEG-TS, one damaged packet in forty', false, () => scrambled(40)],
    ['MPEG-TS, clear', false, () => scrambled(1e9)],
    ['ASF, encryption object', true, () => asf('fbb3112223bdd211b4b700a0c955fc6e')],
    ['ASF, clear', false, () => seeds.get('wmv.asf') ?? Buffer.alloc(0)],
    ['nothing at all', false, () => Buffer.alloc(0)],
  ];
  test.each(cases)('%s: %s', async (_name, sealed, bytes) => {
    expect(await isSealed(written('maybe-sealed', bytes()))).toBe(sealed);
  });

  test('is refused before ffmpeg sees it', async () => {
    const path = makeScript(at('seen'), [`touch ${at('was-seen')}`]);
    const file = written('sealed.mkv', matroska('18538067', '1654ae6b', 'ae', '6d80', '6240', '5035'));
    await expect(probeFile(file, {}, { ...tool, path })).rejects.toMatchObject({ code: 'ENCODER_INPUT_SEALED' });
    expect(existsSync(at('was-seen'))).toBe(false);
  });
});

describe('greedy', () => {
  const clip = (): string => at('h264.mp4');
  const refused = { code: 'ENCODER_INPUT_REFUSED', retryable: false };

  test('pixels: stored, and stretched by their shape', async () => {
    await expect(probeFile(clip(), { maxPixels: 6000 })).rejects.toMatchObject(refused);
    const stretch = ['-i', clip(), '-c', 'copy', '-bsf:v', 'h264_metadata=sample_aspect_ratio=60/1'];
    make(tool, [...stretch, at('wide.mp4')]);
    await expect(probeFile(at('wide.mp4'), { maxPixels: 100_000 })).rejects.toMatchObject(refused);
  });

  test('seconds: claimed, and kept silent about', async () => {
    await expect(probeFile(clip(), { maxSeconds: 0.2 })).rejects.toMatchObject(refused);
    const source = await probeFile(at('raw.h264'), { maxSeconds: 0.2 });
    expect(source.durationSeconds).toBeUndefined();
    const { ffmpeg } = openOne(tool);
    await expect(findShots(ffmpeg, source, () => undefined)).rejects.toMatchObject(refused);
  });

  test('a gap of an hour in the timestamps is not filled with pictures without end', async () => {
    make(tool, [
      '-i',
      at('h264.mkv'),
      '-an',
      '-c',
      'copy',
      '-bsf:v',
      'setts=ts=TS+if(gt(N\\,4)\\,3600/TB\\,0)',
      at('gap.mkv'),
    ]);
    const source = await probeFile(at('gap.mkv'));
    const { ffmpeg } = openOne(tool);
    let decoded = 0;
    const short = { ...source, limits: { ...source.limits, maxSeconds: 4 } };
    const found = findShots(ffmpeg, short, (frames) => {
      decoded = frames;
    });
    await expect(found).rejects.toMatchObject(refused);
    expect(decoded).toBeLessThanOrEqual(5 * 25);
  });

  test('streams', async () => {
    const maps = Array.from({ length: 300 }, () => ['-map', '0:v']).flat();
    make(tool, ['-i', clip(), ...maps, '-c', 'copy', at('many.mkv')]);
    await expect(probeFile(at('many.mkv'))).rejects.toMatchObject(refused);
  });

  test('memory', async (context) => {
    if (tool.limiter === undefined) return context.skip('prlimit is not there');
    const size = ['-f', 'lavfi', '-i', 'color=s=4096x2304:r=25:d=0.12', '-c:v', 'mpeg4', at('large.avi')];
    make(tool, size);
    const source = await probeFile(at('large.avi'));
    const { ffmpeg } = openOne(tool);
    const tight = { ...source, limits: { ...source.limits, memoryMegabytes: 100 } };
    await expect(findShots(ffmpeg, tight, () => undefined)).rejects.toMatchObject(refused);
  });
});

test('files that reach out: every one is refused, nothing is connected to, no other file is shown', async () => {
  let asked = 0;
  const server = createServer((socket) => {
    asked += 1;
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const paths = makeHostile(tool, { folder, port, secret: at('h264.mp4') });
  const { ffmpeg } = openOne(tool);
  for (const path of paths) {
    const code = await probeFile(path)
      .then((source) => findShots(ffmpeg, source, () => undefined))
      .then(
        () => 'taken',
        (error: unknown) => (error instanceof Error && 'code' in error ? String(error.code) : String(error)),
      );
    expect([path, code]).toEqual([path, expect.stringMatching(/^ENCODER_(?:INPUT_(?:REFUSED|CORRUPT)|NO_VIDEO)$/)]);
  }
  expect(asked).toBe(0);
  server.close();
  expect(readFileSync(at('h264.mp4')).length).toBeGreaterThan(0);
});
