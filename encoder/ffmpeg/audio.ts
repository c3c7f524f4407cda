// Which audio tracks a title gets from those of its source, and how each is encoded. Pure.
import type { AudioStream } from './describe.ts';

/** Audio codecs that a job may ask for. */
export type AudioCodecName = 'aac' | 'opus';
/** What becomes of sources with six channels and more. */
export type SurroundChoice = 'stereo' | 'keep' | 'both';

/** How ffmpeg makes one codec. */
export type AudioCodec = {
  readonly encoder: string;
  readonly bitsPerChannel: number;
  /** Samples in a frame of 48 kHz. */
  readonly frameSamples: number;
  /**
   * Samples that the encoder puts before the first; CMAF has no edit list to hide them, so as many are cut from the
   * sound.
   */
  readonly primingSamples: number;
};

/** Samples a second of every audio track, which is also its timescale. */
export const AUDIO_RATE = 48_000;

/** AAC-LC by ffmpeg itself; Opus by libopus, in frames of 20 ms, 6.5 ms of look-ahead (RFC 7845 section 4.2). */
export const AUDIO_CODECS: Readonly<Record<AudioCodecName, AudioCodec>> = {
  aac: { encoder: 'aac', bitsPerChannel: 64_000, frameSamples: 1024, primingSamples: 1024 },
  opus: { encoder: 'libopus', bitsPerChannel: 48_000, frameSamples: 960, primingSamples: 312 },
};

/** One audio track to make. */
export type AudioPlan = {
  readonly codec: AudioCodecName;
  readonly stream: AudioStream;
  /** Mono, stereo or 5.1. */
  readonly channels: 1 | 2 | 6;
};

/**
 * All tracks, the default one first: codec by codec as wanted, stereo before 5.1, then in the order of the source. Every
 * stream has a track that any device plays.
 */
export function planAudio(
  streams: readonly AudioStream[],
  wanted: { readonly codecs: readonly AudioCodecName[]; readonly surround: SurroundChoice },
): AudioPlan[] {
  return wanted.codecs.flatMap((codec) =>
    ([1, 2, 6] as const)
      .flatMap((channels) =>
        streams
          .filter((stream) => channelsFor(stream.channels, wanted.surround).includes(channels))
          .map((stream): AudioPlan => ({ codec, stream, channels })),
      )
      .sort((a, b) => Number(a.channels === 6) - Number(b.channels === 6) || place(a) - place(b)),
  );
  function place({ stream }: AudioPlan): number {
    return streams.indexOf(stream);
  }
}

function channelsFor(channels: number, surround: SurroundChoice): readonly (1 | 2 | 6)[] {
  if (channels <= 1) return [1];
  if (channels < 6 || surround === 'stereo') return [2];
  return surround === 'keep' ? [6] : [2, 6];
}

const LAYOUT = { 1: 'mono', 2: 'stereo', 6: '5.1' } as const;

/**
 * Peaks at most 1 dB below full scale (EBU R 128's limit). Folding adds up to 7.7 dB (ITU-R BS.775: left, 0.71 centre,
 * 0.71 surround), and what lies above full scale would be clipped. Its look-ahead delays the sound by 1 ms.
 */
const LIMITER = 'alimiter=limit=0.891:attack=1:release=50:level=false';

/**
 * Filters from a stream to samples that begin with the picture: gaps filled, priming cut, folded down, measured by EBU
 * R 128, and silence to the end of the picture.
 */
export function audioFilters({ codec, channels, stream }: AudioPlan): string[] {
  return [
    `aresample=${AUDIO_RATE}:async=1:first_pts=0`,
    `atrim=start_sample=${AUDIO_CODECS[codec].primingSamples}`,
    'asetpts=PTS-STARTPTS',
    `aformat=channel_layouts=${LAYOUT[channels]}`,
    ...(channels < stream.channels ? [LIMITER] : []),
    'ebur128=peak=true:framelog=verbose',
    'apad',
  ];
}

/** Just below the most whole frames that fit: ffmpeg ends a fragment with the frame that reaches this. */
export function fragmentMicroseconds(codec: AudioCodecName, seconds: number): number {
  const { frameSamples } = AUDIO_CODECS[codec];
  const frames = Math.max(1, Math.floor((seconds * AUDIO_RATE) / frameSamples));
  return Math.floor(((frames - 0.5) * frameSamples * 1e6) / AUDIO_RATE);
}
