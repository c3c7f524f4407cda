// HEVC by x265. Pure.
import { type MasteringDisplay, type PictureFormat, type VideoCodec, withinRange, X264_PRESETS } from './codec.ts';

const QUALITY = { best: 0, worst: 51, step: 0.1 } as const;

/**
 * No text SEI (it would hold the CRF), no parameter sets in the samples (CMAF's hvc1), only our keyframes, and all of
 * these IDR: x265 then writes the same VPS, SPS and PPS whatever the CRF.
 */
const PARAMETERS = 'log-level=error:info=0:repeat-headers=0:keyint=100000:min-keyint=1:scenecut=0:open-gop=0';

/** x265's `master-display`: chromaticities in steps of 0.00002, luminances of 0.0001 cd/m2 (ST 2086 as SEI codes it). */
function masterDisplay({ red, green, blue, white, minLuminance, maxLuminance }: MasteringDisplay): string {
  const point = ([x, y]: readonly [number, number]): string => `(${Math.round(x * 50_000)},${Math.round(y * 50_000)})`;
  const light = `(${Math.round(maxLuminance * 10_000)},${Math.round(minLuminance * 10_000)})`;
  return `G${point(green)}B${point(blue)}R${point(red)}WP${point(white)}L${light}`;
}

/** Colour in the bitstream, and for HDR10 what the display was and how bright it gets. */
function signalling({ videoRange, colour, mastering, light }: PictureFormat): string[] {
  const { primaries, transfer, matrix } = colour;
  const names = [`colorprim=${primaries}`, `transfer=${transfer}`, `colormatrix=${matrix}`, 'range=limited'];
  if (videoRange !== 'PQ') return names;
  const display = mastering === undefined ? [] : [`master-display=${masterDisplay(mastering)}`];
  const level = light === undefined ? [] : [`max-cll=${light.max},${light.average}`];
  return [...names, 'hdr10=1', 'hdr10-opt=1', ...display, ...level];
}

/** HEVC Main or Main 10, as `hvc1`, which is the entry that Apple's players take. */
export const x265: VideoCodec = {
  name: 'hevc',
  encoder: 'libx265',
  isHardware: false,
  quality: QUALITY,
  // Equal VMAF with x264 veryfast at CRF 22, 28 and 35, mean of 2 s of sintel, bbb and toys at 360p: 24.8, 31.9, 40.
  qualityAt: (crf) => withinRange(24.8 + (crf - 22) * 1.17, QUALITY),
  presets: X264_PRESETS,
  presetAt: (preset) => preset,
  bitDepths: [8, 10],
  smallest: 16,
  args: ({ quality, preset, picture, threads }) => [
    ...['-c:v', 'libx265', '-preset', preset, '-crf', `${quality}`, '-tag:v', 'hvc1', '-threads', `${threads}`],
    ...['-profile:v', picture.bitDepth === 10 ? 'main10' : 'main', '-forced-idr', '1'],
    ...['-x265-params', [PARAMETERS, `pools=${threads}`, ...signalling(picture)].join(':')],
  ],
};
