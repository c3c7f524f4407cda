// What the demo shows, as data: a chain of episodes, ids that the house takes, and ffmpeg arguments that add up.
import { describe, expect, test } from 'vitest';
import { demoConfig, demoTitles } from '../../agent/commands/demo-content.ts';
import { parseConfig } from '../../agent/config.ts';
import { isTitleId } from '../../agent/telemetry/event.ts';

const titles = demoTitles('/in/video.mp4');
const drawn = demoTitles(undefined);

/** Values of an option, wherever it stands. */
const valuesOf = (args: readonly string[], option: string): readonly (string | undefined)[] =>
  args.flatMap((arg, index) => (arg === option ? [args[index + 1]] : []));

describe('the titles', () => {
  test('are two episodes and two that are drawn; without the video the drawn ones alone', () => {
    expect(titles.map(({ id }) => id)).toEqual([
      'big-buck-bunny-1',
      'big-buck-bunny-2',
      'edge-of-the-set',
      'colour-and-motion',
    ]);
    expect(drawn).toEqual(titles.slice(2));
    expect(titles.every(({ id }) => isTitleId(id))).toBe(true);
  });

  test('of one series follow each other without a gap or an overlap', () => {
    const [first, second] = titles;
    expect(first).toMatchObject({ series: 'Big Buck Bunny', episode: 1, nextId: 'big-buck-bunny-2' });
    expect(second).toMatchObject({ series: 'Big Buck Bunny', episode: 2 });
    expect(valuesOf(first?.args ?? [], '-ss')).toEqual(['0']);
    expect(valuesOf(second?.args ?? [], '-ss')).toEqual(valuesOf(first?.args ?? [], '-t'));
    expect((first?.durationSeconds ?? 0) + (second?.durationSeconds ?? 0)).toBe(30);
  });

  test.each(titles.map((title) => [title.id, title] as const))('%s says its length and is 720p', (_id, title) => {
    const { args, durationSeconds } = title;
    const graph = valuesOf(args, '-filter_complex')[0];
    if (graph === undefined) {
      expect(valuesOf(args, '-i')).toEqual(['/in/video.mp4']);
      expect(valuesOf(args, '-t')).toEqual([String(durationSeconds)]);
      expect(valuesOf(args, '-vf')[0]).toContain('scale=-2:720');
      return;
    }
    const lengths = [...graph.matchAll(/trim=duration=([\d.]+)/g)].map(([, seconds]) => Number(seconds));
    expect(lengths.reduce((sum, one) => sum + one, 0)).toBe(durationSeconds);
    const inputs = valuesOf(args, '-i');
    expect(inputs).toHaveLength(lengths.length + 1);
    expect(inputs.at(-1)).toContain(`d=${durationSeconds}`);
    expect(graph).toContain(`concat=n=${lengths.length}`);
    for (const [index, source] of inputs.slice(0, -1).entries()) {
      const isSmall = graph.includes(`[${index}:v]trim=duration=${lengths[index]},scale=1280:720`);
      expect(source).toContain(isSmall ? 's=320x180' : 's=1280x720');
    }
  });

  test('name no output: the caller adds it', () => {
    for (const { args } of titles) expect(args.some((arg) => arg.endsWith('.part'))).toBe(false);
  });
});

test('its configuration has no problem and no warning', () => {
  const where = { listen: '127.0.0.1:0', metrics: '127.0.0.1:0', originUrl: 'http://127.0.0.1:1234' };
  const loaded = parseConfig(demoConfig(where), '/demo/nearcast.yaml');
  expect(loaded).toMatchObject({ ok: true, warnings: [] });
});
