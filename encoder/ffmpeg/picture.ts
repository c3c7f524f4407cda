// How a source's pictures are brought into the one form that is analysed, encoded and measured. Pure filter chains.
import type { ColourNames, PictureFormat, VideoRange } from './codecs/codec.ts';
import type { FrameRate } from './describe.ts';

/** What the filters must know of a source; width, height and frame rate are those of the result. */
export type PictureView = {
  readonly width: number;
  readonly height: number;
  readonly frameRate: FrameRate;
  readonly isInterlaced: boolean;
  readonly hasAlpha: boolean;
  readonly isRgb: boolean;
  /** As the source is coded: what passes through. */
  readonly picture: PictureFormat;
};

/** ffmpeg's pixel format of a picture. */
export function pixelFormat({ bitDepth }: Pick<PictureFormat, 'bitDepth'>): 'yuv420p' | 'yuv420p10le' {
  return bitDepth === 10 ? 'yuv420p10le' : 'yuv420p';
}

/** Says what the samples mean; lossless intermediates do not carry it. Encoders write it into their headers. */
export function labelled({ primaries, transfer, matrix }: ColourNames): string {
  return `setparams=range=tv:color_primaries=${primaries}:color_trc=${transfer}:colorspace=${matrix}`;
}

/**
 * Frames on one grid, upright (ffmpeg turns them), progressive, over black where they are transparent, square pixels,
 * even sizes, 4:2:0 in the source's depth and colour, TV range.
 */
export function normalise(view: PictureView): string {
  const { num, den } = view.frameRate;
  const scale = `scale=${view.width}:${view.height}:flags=bicubic+accurate_rnd:out_range=tv`;
  return [
    ...(view.isInterlaced ? ['bwdif=mode=send_frame'] : []),
    `fps=${num}/${den}:start_time=0`,
    view.isRgb ? `${scale}:out_color_matrix=bt709` : scale,
    'setsar=1',
    ...(view.hasAlpha ? [`format=${view.picture.bitDepth === 10 ? 'yuva420p10le' : 'yuva420p'}`] : []),
    ...(view.hasAlpha ? ['premultiply=inplace=1'] : []),
    `format=${pixelFormat(view.picture)}`,
    labelled(view.picture.colour),
  ].join(',');
}

/** cd/m2 that become 1.0 before the curve: what graders take for SDR white. */
const NOMINAL_PEAK = 100;

/**
 * From HDR (PQ or HLG, labelled as such) to 8-bit BT.709: to linear light, into the smaller gamut, highlights rolled off
 * with the Hable curve, and back to gamma. Needs zscale and tonemap.
 */
export function toneMapFilter(): string {
  return [
    `zscale=transfer=linear:npl=${NOMINAL_PEAK}`,
    'format=gbrpf32le',
    'zscale=primaries=bt709',
    'tonemap=tonemap=hable:desat=0',
    'zscale=transfer=bt709:matrix=bt709:range=tv',
    'format=yuv420p',
    'setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709',
  ].join(',');
}

/** From the normalised source to the pictures of one range: nothing, or a tone mapping. Ends where it begins otherwise. */
export function rangeFilter(view: Pick<PictureView, 'picture'>, range: VideoRange): string {
  return range === view.picture.videoRange ? 'null' : toneMapFilter();
}

/** From the source to a still picture that people look at: progressive, square pixels, SDR where that can be made. */
export function stillFilters(
  view: PictureView,
  { width, height }: { readonly width: number; readonly height: number },
  canToneMap: boolean,
): string[] {
  const isMapped = view.picture.videoRange !== 'SDR' && canToneMap;
  const mapped = [`format=${pixelFormat(view.picture)}`, labelled(view.picture.colour), toneMapFilter()];
  return [
    ...(view.isInterlaced ? ['bwdif=mode=send_frame'] : []),
    `scale=${width}:${height}:flags=bicubic`,
    'setsar=1',
    ...(isMapped ? mapped : []),
  ];
}

/** A lossless intermediate of that depth: utvideo is faster, and has 8 bits only. */
export function losslessCodec({ bitDepth }: Pick<PictureFormat, 'bitDepth'>): 'utvideo' | 'ffvhuff' {
  return bitDepth === 10 ? 'ffvhuff' : 'utvideo';
}
