// Makes title.json objects of any shape, segmented as the encoder does: cut at shots, no segment longer than 4 s.
import { CONTRACT_VERSION, type Title, type TitleShot } from '../../encoder/contract.ts';
import { chances } from './chance.ts';

type Features = TitleShot['features'];

/** A shot of a made title. */
export type ShotPlan = { readonly seconds: number; readonly features?: Partial<Features> };

const TIMESCALE = 12_288;
/** Heights and peak bandwidths in bits/s, best first. */
const RUNGS = [
  { height: 720, peak: 2_400_000 },
  { height: 540, peak: 1_300_000 },
  { height: 360, peak: 600_000 },
] as const;

/** A title with these shots in three renditions; `segmentSeconds` is the longest segment. */
export function makeTitle(id: string, plan: readonly ShotPlan[], segmentSeconds = 4): Title {
  const shots: TitleShot[] = [];
  const grid: { startTicks: number; ticks: number; shot: number }[] = [];
  let ticks = 0;
  for (const [index, { seconds, features }] of plan.entries()) {
    const length = Math.round(seconds * TIMESCALE);
    const neutral = { spatial: 0.5, temporal: 0.5, luma: 0.5, saturation: 0.5, loudness: 0.5 };
    shots.push({
      startSeconds: ticks / TIMESCALE,
      durationSeconds: length / TIMESCALE,
      frames: Math.max(1, Math.round(seconds * 24)),
      features: { ...neutral, ...features },
      quality: {},
    });
    const parts = Math.max(1, Math.ceil(length / TIMESCALE / segmentSeconds - 1e-9));
    let left = length;
    for (let part = 0; part < parts; part += 1) {
      const own = part === parts - 1 ? left : Math.round(length / parts);
      grid.push({ startTicks: ticks, ticks: own, shot: index });
      ticks += own;
      left -= own;
    }
  }
  const renditions = RUNGS.map(({ height, peak }) => ({
    id: `v${height}`,
    codec: 'avc1.64001f',
    peakBandwidthBps: peak,
    averageBandwidthBps: peak / 2,
    initUrl: `v${height}/init.mp4`,
    initBytes: 800,
    timescale: TIMESCALE,
    width: Math.round((height * 16) / 9),
    height,
    frameRate: 24,
    videoRange: 'SDR' as const,
    qualityMean: 90,
    segments: grid.map((one, index) => ({ url: `v${height}/${index}.m4s`, bytes: 100_000, ...one })),
  }));
  return {
    version: CONTRACT_VERSION,
    id,
    name: id,
    hash: '0123456789abcdef',
    durationSeconds: ticks / TIMESCALE,
    source: {
      class: 'mezzanine',
      sha256: '',
      sizeBytes: 1,
      format: 'mp4',
      codec: 'h264',
      width: 1280,
      height: 720,
      frameRate: 24,
    },
    tools: {},
    metric: { name: 'vmaf', model: 'vmaf_v0.6.1', subsample: 5, notes: [] },
    renditions,
    audio: [],
    text: [],
    shots,
    images: { poster: 'poster.jpg' },
    savings: { referenceBps: 1, cap: 0, pruning: 0, allocation: 0 },
    cost: { cpuSeconds: 1 },
  };
}

/** A title of about 200 s whose shots differ in every way, the same for the same seed. */
export function makeVariedTitle(id: string, seed = 1): Title {
  const next = chances(seed);
  const shots = Array.from({ length: 50 }, () => ({
    seconds: 1 + 6 * next(),
    features: {
      spatial: next(),
      temporal: next(),
      luma: 0.1 + 0.8 * next(),
      saturation: next(),
      loudness: next(),
    },
  }));
  return makeTitle(id, shots);
}

/** The same as published: its folder is /titles/ID/HASH/. */
export function published(title: Title): { readonly title: Title; readonly baseUrl: string } {
  return { title, baseUrl: `/titles/${title.id}/${title.hash}/` };
}
