// What the demo shows: Big Buck Bunny cut into two episodes, and two titles that ffmpeg draws itself. Pure: ffmpeg
// arguments as data.

/** A title of the demo; `args` make its 720p mezzanine when followed by an output path. */
export type DemoTitle = {
  readonly id: string;
  readonly name: string;
  readonly durationSeconds: number;
  readonly genres: readonly string[];
  readonly series?: string;
  readonly episode?: number;
  readonly nextId?: string;
  readonly args: readonly string[];
};

const FRAME_RATE = 24;
/** Near-lossless beside the ladder's best rung, and quick to write. */
const MEZZANINE = [
  '-c:v',
  'libx264',
  '-preset',
  'veryfast',
  '-crf',
  '12',
  '-pix_fmt',
  'yuv420p',
  '-c:a',
  'aac',
  '-ac',
  '2',
  '-b:a',
  '192k',
];
/** Big Buck Bunny's clip has a hard cut here; the second episode runs to its end at 30 s. */
const EPISODE_CUT_SECONDS = 15.75;
const BUNNY_SECONDS = 30;

type Drawn = { readonly source: string; readonly seconds: number; readonly isSmall?: boolean };

/** A title made of ffmpeg's own sources, one shot each, under a quiet tone. */
function draw(shots: readonly Drawn[], toneHertz: number): readonly string[] {
  const seconds = shots.reduce((sum, shot) => sum + shot.seconds, 0);
  const inputs = shots.flatMap(({ source }) => ['-f', 'lavfi', '-i', source]);
  const chains = shots.map(({ seconds: length, isSmall }, index) => {
    const scale = isSmall === true ? 'scale=1280:720:flags=neighbor,' : '';
    return `[${index}:v]trim=duration=${length},${scale}format=yuv420p,setsar=1[v${index}]`;
  });
  const labels = shots.map((_, index) => `[v${index}]`).join('');
  const graph = [...chains, `${labels}concat=n=${shots.length}:v=1:a=0[v]`, `[${shots.length}:a]volume=0.2[a]`].join(
    ';',
  );
  const tone = ['-f', 'lavfi', '-i', `sine=f=${toneHertz}:d=${seconds}:r=48000`];
  return [...inputs, ...tone, '-filter_complex', graph, '-map', '[v]', '-map', '[a]', '-shortest', ...MEZZANINE];
}

const size = `s=1280x720:r=${FRAME_RATE}`;
const small = `s=320x180:r=${FRAME_RATE}`;

const DRAWN: readonly DemoTitle[] = [
  {
    id: 'edge-of-the-set',
    name: 'Edge of the Set',
    durationSeconds: 14,
    genres: ['documentary'],
    args: draw(
      [
        {
          source: `mandelbrot=${size}:start_x=-0.7436:start_y=0.1318:start_scale=0.01:end_scale=0.0005:end_pts=96`,
          seconds: 4,
        },
        {
          source: `gradients=${size}:type=radial:c0=#000010:c1=#3050c0:c2=#f0f0ff:nb_colors=3:speed=0.02:seed=9`,
          seconds: 3,
        },
        { source: `mandelbrot=${size}:end_scale=0.02:end_pts=96`, seconds: 4 },
        { source: `sierpinski=${size}:seed=5:jump=60`, seconds: 3 },
      ],
      330,
    ),
  },
  {
    id: 'colour-and-motion',
    name: 'Colour and Motion',
    durationSeconds: 12,
    genres: ['abstract'],
    args: draw(
      [
        { source: `gradients=${size}:c0=#102040:c1=#d06030:c2=#40c0a0:nb_colors=3:speed=0.05:seed=3`, seconds: 3 },
        {
          source: `life=${small}:mold=10:ratio=0.12:death_color=#203060:life_color=#ffd060:seed=7`,
          seconds: 3,
          isSmall: true,
        },
        { source: `testsrc2=${size}`, seconds: 3 },
        {
          source: `gradients=${size}:type=spiral:c0=#401030:c1=#f0b040:c2=#205080:nb_colors=3:speed=0.03:seed=4`,
          seconds: 3,
        },
      ],
      220,
    ),
  },
];

function episodes(video: string): readonly DemoTitle[] {
  const cut = (start: number, seconds: number) => [
    '-ss',
    String(start),
    '-i',
    video,
    '-t',
    String(seconds),
    '-vf',
    'scale=-2:720:flags=bicubic',
    ...MEZZANINE,
  ];
  const common = { genres: ['animation', 'comedy'], series: 'Big Buck Bunny' };
  return [
    {
      ...common,
      id: 'big-buck-bunny-1',
      name: 'Big Buck Bunny, episode 1',
      episode: 1,
      nextId: 'big-buck-bunny-2',
      durationSeconds: EPISODE_CUT_SECONDS,
      args: cut(0, EPISODE_CUT_SECONDS),
    },
    {
      ...common,
      id: 'big-buck-bunny-2',
      name: 'Big Buck Bunny, episode 2',
      episode: 2,
      durationSeconds: BUNNY_SECONDS - EPISODE_CUT_SECONDS,
      args: cut(EPISODE_CUT_SECONDS, BUNNY_SECONDS - EPISODE_CUT_SECONDS),
    },
  ];
}

/** The demo's titles in the order encoded. Without the optional package's video, those that ffmpeg draws alone. */
export function demoTitles(bunnyVideo: string | undefined): readonly DemoTitle[] {
  return bunnyVideo === undefined ? DRAWN : [...episodes(bunnyVideo), ...DRAWN];
}

/** A configuration for the demo; JSON is YAML too. */
export function demoConfig(where: {
  readonly listen: string;
  readonly metrics: string;
  readonly originUrl: string;
}): string {
  const config = {
    version: 1,
    node: { id: 'edge-demo', region: 'demo' },
    listen: { http: where.listen },
    admin: { metrics: where.metrics, socket: 'run/nearcast.sock' },
    state: { dir: 'state' },
    origins: [{ name: 'demo', url: where.originUrl, match: '/' }],
    store: { ramBytes: '128MiB', dirs: [{ path: 'store', maxBytes: '1GiB' }] },
    catalogue: { file: 'catalogue.jsonl' },
    // Little, so that there is something left to foresee in titles this short.
    publish: { dir: 'public/titles', warmSeconds: 4 },
    // Nothing else runs on a demo's machine; a cache host keeps the default half.
    encode: { cpuShare: 1, reservedCores: 0 },
    power: { foregroundCeiling: 1 },
    prefetch: { window: { cron: '*/5 * * * *', minutes: 4, timeZone: 'Etc/UTC' } },
  };
  return `# Written by "nearcast demo" at every start.\n${JSON.stringify(config, undefined, 2)}\n`;
}
