// What every video encoder must offer to take part in trials: one shape over x264, x265, SVT-AV1 and hardware. Pure.

/** Codecs that a job may ask for. */
export type CodecName = 'h264' | 'hevc' | 'av1';
/** How light is coded: BT.709 gamma, SMPTE ST 2084 (HDR10) or ARIB STD-B67 (HLG). */
export type VideoRange = 'SDR' | 'PQ' | 'HLG';
/** Bits per sample, 4:2:0. */
export type BitDepth = 8 | 10;

/** Numbers of ITU-T H.273 as ffmpeg names them, such as `bt2020`, `smpte2084`, `bt2020nc`. */
export type ColourNames = { readonly primaries: string; readonly transfer: string; readonly matrix: string };

/**
 * What the display was on which an HDR10 picture was graded (SMPTE ST 2086), and how bright it gets (CTA-861.3).
 * Chromaticities are CIE 1931 x and y, luminances cd/m2.
 */
export type MasteringDisplay = {
  readonly red: readonly [number, number];
  readonly green: readonly [number, number];
  readonly blue: readonly [number, number];
  readonly white: readonly [number, number];
  readonly minLuminance: number;
  readonly maxLuminance: number;
};
/** Brightest pixel, and brightest frame mean, cd/m2. */
export type ContentLight = { readonly max: number; readonly average: number };

/** The samples that an encode keeps. */
export type PictureFormat = {
  readonly bitDepth: BitDepth;
  readonly videoRange: VideoRange;
  readonly colour: ColourNames;
  /** PQ only, where the source says it. */
  readonly mastering: MasteringDisplay | undefined;
  readonly light: ContentLight | undefined;
};

/** Quality values of an encoder, best (fewest losses) first. */
export type QualityRange = {
  readonly best: number;
  readonly worst: number;
  /** Smallest step that changes the result. */
  readonly step: number;
};

/** One output of one run: what differs between encoders is how this is said. */
export type CodecTrial = {
  /** On the encoder's own scale, within its range. */
  readonly quality: number;
  /** One of the encoder's preset names. */
  readonly preset: string;
  readonly picture: PictureFormat;
  readonly threads: number;
};

/**
 * One encoder of ffmpeg. Any two encodes of one rung (same size, preset and picture, other quality and content) must have
 * the same init segment; trials hold it to that.
 */
export type VideoCodec = {
  readonly name: CodecName;
  /** ffmpeg's name of it, such as `libx265`. */
  readonly encoder: string;
  readonly isHardware: boolean;
  readonly quality: QualityRange;
  /** The value that looks like this CRF of x264, within the range and on its step. */
  readonly qualityAt: (x264Crf: number) => number;
  /** Its preset names, fastest first. */
  readonly presets: readonly string[];
  /** The preset that stands for one of x264's: about as much care for its kind. */
  readonly presetAt: (x264Preset: string) => string;
  readonly bitDepths: readonly BitDepth[];
  /** Fewest lines and columns that it takes. */
  readonly smallest: number;
  /** Options after `-map` and before the container's: encoder, rate, GOP (only forced keyframes), colour, sample entry. */
  readonly args: (trial: CodecTrial) => string[];
};

/** x264's preset names, fastest first: what `preset` of a job is said in. */
export const X264_PRESETS = [
  ...['ultrafast', 'superfast', 'veryfast', 'faster', 'fast', 'medium', 'slow', 'slower', 'veryslow', 'placebo'],
] as const;

/** Broadcast SDR, as every source that is not HDR is coded. */
export const SDR_8: PictureFormat = {
  bitDepth: 8,
  videoRange: 'SDR',
  colour: { primaries: 'bt709', transfer: 'bt709', matrix: 'bt709' },
  mastering: undefined,
  light: undefined,
};

/** `value` on the range's steps and within it. */
export function withinRange(value: number, { best, worst, step }: QualityRange): number {
  // Decimal steps as people write them: 38.8 and not 38.800000000000004.
  const stepped = Number((Math.round(value / step) * step).toFixed(3));
  return Math.min(worst, Math.max(best, stepped));
}
