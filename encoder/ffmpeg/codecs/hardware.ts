// Encoders in hardware, and when one is used in place of software. Pure.
import type { CodecName, QualityRange, VideoCodec } from './codec.ts';
import { withinRange } from './codec.ts';

const NVENC_QUALITY: QualityRange = { best: 1, worst: 51, step: 1 };
const NVENC_PRESETS = ['p1', 'p2', 'p3', 'p4', 'p5', 'p6', 'p7'] as const;

/** NVIDIA: constant quality, our keyframes only. 10 bits in HEVC and AV1. Its H.264 cannot do more than 8. */
function nvenc(name: CodecName): VideoCodec {
  const tag = name === 'hevc' ? ['-tag:v', 'hvc1'] : [];
  return {
    name,
    encoder: `${name}_nvenc`,
    isHardware: true,
    quality: NVENC_QUALITY,
    // Its cq is on the scale of the codec's quantiser; the test encode measures what it is worth.
    qualityAt: (crf) => withinRange(crf + 3, NVENC_QUALITY),
    presets: NVENC_PRESETS,
    // The slowest costs the host nothing: the chip encodes faster than frames are decoded.
    presetAt: () => 'p7',
    bitDepths: name === 'h264' ? [8] : [8, 10],
    smallest: 160,
    args: ({ quality, preset, picture }) => [
      ...['-c:v', `${name}_nvenc`, '-preset', preset, '-tune', 'hq', '-rc', 'vbr', '-cq', `${quality}`, '-b:v', '0'],
      ...['-g', '100000', '-no-scenecut', '1', '-forced-idr', '1', '-spatial-aq', '1', ...tag],
      ...['-pix_fmt', picture.bitDepth === 10 ? 'p010le' : 'yuv420p'],
    ],
  };
}

const V4L2_QUALITY: QualityRange = { best: 1, worst: 51, step: 1 };

/** Linux memory-to-memory encoders (Raspberry Pi and other boards): one quantiser, no B-frames. */
function v4l2m2m(name: 'h264' | 'hevc'): VideoCodec {
  const tag = name === 'hevc' ? ['-tag:v', 'hvc1'] : [];
  return {
    name,
    encoder: `${name}_v4l2m2m`,
    isHardware: true,
    quality: V4L2_QUALITY,
    qualityAt: (crf) => withinRange(crf, V4L2_QUALITY),
    presets: ['only'],
    presetAt: () => 'only',
    bitDepths: [8],
    smallest: 64,
    args: ({ quality }) => [
      ...['-c:v', `${name}_v4l2m2m`, '-qmin', `${quality}`, '-qmax', `${quality}`, '-g', '100000', '-bf', '0', ...tag],
      // Its drivers put the parameter sets into the stream only.
      ...['-pix_fmt', 'yuv420p', '-bsf:v', 'extract_extradata'],
    ],
  };
}

/** Hardware encoders worth asking for, by codec. */
export const HARDWARE: Readonly<Record<CodecName, readonly VideoCodec[]>> = {
  h264: [nvenc('h264'), v4l2m2m('h264')],
  hevc: [nvenc('hevc'), v4l2m2m('hevc')],
  av1: [nvenc('av1')],
};

/** One test encode: quality in points, cost of encoding it. */
export type Sample = { readonly bits: number; readonly quality: number; readonly cpuSeconds: number };
/** Whether hardware is used, and why in words. */
export type Verdict = { readonly wins: boolean; readonly why: string };

/**
 * Bits are paid for at every delivery, CPU once: hardware may take at most 5 % more bits for the same quality, and then
 * only for at most half of the CPU. With fewer bits it may cost as much.
 */
const MOST = { bits: 1.05, cpu: 0.5 } as const;

/**
 * Compares both over the qualities that both reach, bits interpolated on a logarithmic scale, as BD-rate does (ITU-T
 * VCEG-M33). Too little in common decides for software.
 */
export function judgeHardware(software: readonly Sample[], hardware: readonly Sample[]): Verdict {
  const reach = (samples: readonly Sample[]): [number, number] => {
    const qualities = samples.map(({ quality }) => quality);
    return [Math.min(...qualities), Math.max(...qualities)];
  };
  const [[softLow, softHigh], [hardLow, hardHigh]] = [reach(software), reach(hardware)];
  const [low, high] = [Math.max(softLow, hardLow), Math.min(softHigh, hardHigh)];
  if (!(high > low) || high - low < (softHigh - softLow) / 4) {
    return { wins: false, why: 'its qualities are too far from those of software to compare' };
  }
  const at = [0, 0.25, 0.5, 0.75, 1].map((share) => low + (high - low) * share);
  const logRatio = at.reduce((sum, quality) => sum + logBitsAt(hardware, quality) - logBitsAt(software, quality), 0);
  const bits = Math.exp(logRatio / at.length);
  const cost = (samples: readonly Sample[]): number =>
    samples.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0) / samples.length;
  const cpu = cost(hardware) / Math.max(1e-9, cost(software));
  const wins = bits <= 1 ? cpu <= 1 : bits <= MOST.bits && cpu <= MOST.cpu;
  return { wins, why: `${bits.toFixed(2)}x the bits at the same quality for ${cpu.toFixed(2)}x the CPU of software` };
}

function logBitsAt(samples: readonly Sample[], quality: number): number {
  const rising = [...samples].sort((a, b) => a.quality - b.quality);
  const after = Math.max(
    1,
    rising.findIndex((sample) => sample.quality >= quality),
  );
  const [a, b] = [rising[after - 1], rising[after]];
  if (a === undefined || b === undefined) return Math.log((a ?? b)?.bits ?? 1);
  const share = b.quality > a.quality ? (quality - a.quality) / (b.quality - a.quality) : 0;
  return Math.log(a.bits) * (1 - share) + Math.log(b.bits) * share;
}
