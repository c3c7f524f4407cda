// H.264 by x264. Pure.
import { type VideoCodec, withinRange, X264_PRESETS } from './codec.ts';

const QUALITY = { best: 0, worst: 51, step: 0.1 } as const;

/** Settings under which any two encodes of one rung share their init segment, and only our keyframes exist. */
const PARAMETERS = 'stitchable=1:keyint=infinite:min-keyint=1:scenecut=0:open-gop=0';

/** H.264 High, 8 bit, SDR: the codec that every device plays. */
export const x264: VideoCodec = {
  name: 'h264',
  encoder: 'libx264',
  isHardware: false,
  quality: QUALITY,
  qualityAt: (crf) => withinRange(crf, QUALITY),
  presets: X264_PRESETS,
  presetAt: (preset) => preset,
  bitDepths: [8],
  smallest: 16,
  args: ({ quality, preset, threads }) => [
    ...['-c:v', 'libx264', '-preset', preset, '-crf', `${quality}`, '-profile:v', 'high'],
    ...['-threads', `${threads}`, '-x264-params', PARAMETERS, '-forced-idr', '1'],
  ],
};
