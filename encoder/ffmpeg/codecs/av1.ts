// AV1 by SVT-AV1. Pure.
import { type MasteringDisplay, type PictureFormat, type VideoCodec, withinRange } from './codec.ts';

const QUALITY = { best: 1, worst: 63, step: 1 } as const;

/** Fastest first: its preset 13 is not for files. */
const PRESETS = Array.from({ length: 13 }, (_, at) => `${12 - at}`);

/**
 * CPU seconds for 100 frames of 720p: preset 12 costs 1.5, 10 2.8, 8 5.0, 6 10.5; x264 veryfast 1.06, medium 2.8,
 * veryslow 11.4.
 */
const PRESET_AT: Readonly<Record<string, string>> = {
  ...{ ultrafast: '12', superfast: '12', veryfast: '12', faster: '11', fast: '11', medium: '10' },
  ...{ slow: '9', slower: '8', veryslow: '6', placebo: '4' },
};

/** Only our keyframes, all of them closed; no film grain model, no switch frames. */
const PARAMETERS = 'keyint=-1:scd=0:enable-overlays=0';

/** SVT-AV1's `mastering-display`: chromaticities and luminances as they are. */
function masterDisplay({ red, green, blue, white, minLuminance, maxLuminance }: MasteringDisplay): string {
  const point = ([x, y]: readonly [number, number]): string => `(${x.toFixed(5)},${y.toFixed(5)})`;
  const light = `(${maxLuminance.toFixed(4)},${minLuminance.toFixed(4)})`;
  return `G${point(green)}B${point(blue)}R${point(red)}WP${point(white)}L${light}`;
}

function signalling({ videoRange, mastering, light }: PictureFormat): string[] {
  if (videoRange !== 'PQ') return [];
  const display = mastering === undefined ? [] : [`mastering-display=${masterDisplay(mastering)}`];
  return [...display, ...(light === undefined ? [] : [`content-light=${light.max},${light.average}`])];
}

/** AV1 Main, 8 or 10 bit. Colour comes from the frames; the wrapper writes it into the sequence header. */
export const svtAv1: VideoCodec = {
  name: 'av1',
  encoder: 'libsvtav1',
  isHardware: false,
  quality: QUALITY,
  // Equal VMAF with x264 veryfast at CRF 22 and 28, mean of 2 s of sintel, bbb and toys at 360p: 35, 53; 35 is beyond 63.
  qualityAt: (crf) => withinRange(35 + (crf - 22) * 2.9, QUALITY),
  presets: PRESETS,
  presetAt: (preset) => PRESET_AT[preset] ?? '10',
  bitDepths: [8, 10],
  smallest: 64,
  args: ({ quality, preset, picture, threads }) => [
    ...['-c:v', 'libsvtav1', '-preset', preset, '-crf', `${quality}`],
    ...['-svtav1-params', [PARAMETERS, `lp=${threads}`, ...signalling(picture)].join(':')],
  ],
};
