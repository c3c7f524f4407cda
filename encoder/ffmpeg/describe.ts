// Reads how ffmpeg describes an input (there is no ffprobe in the bundled build): its pictures, sounds and texts. Pure.
import type { BitDepth, ColourNames, ContentLight, MasteringDisplay, VideoRange } from './codecs/codec.ts';

/** A fraction of integers, frames a second. */
export type FrameRate = { readonly num: number; readonly den: number };

/** The first moving picture of an input as ffmpeg describes it, before rotation. */
export type VideoStream = {
  readonly index: number;
  readonly codec: string;
  readonly width: number;
  readonly height: number;
  /** Width of a pixel over its height. */
  readonly pixelAspect: number;
  /** The grid that its frames are brought onto. */
  readonly frameRate: FrameRate;
  /** Its frames come at changing distances. */
  readonly isVariable: boolean;
  /** Clockwise quarter turns to show it upright, 0..3. */
  readonly quarterTurns: number;
  readonly isInterlaced: boolean;
  readonly hasAlpha: boolean;
  readonly isRgb: boolean;
  /** What an encode keeps: 10 for all sources above 8. */
  readonly bitDepth: BitDepth;
  readonly videoRange: VideoRange;
  /** As stated, or as players would guess it. */
  readonly colour: ColourNames;
};

/** An audio stream of an input. */
export type AudioStream = {
  readonly index: number;
  readonly channels: number;
  /** BCP 47, `und` where the file does not say. */
  readonly language: string;
  readonly name: string | undefined;
  readonly role: 'main' | 'commentary' | 'description';
};

/** A subtitle stream of an input. */
export type TextStream = {
  readonly index: number;
  readonly codec: string;
  /** Pictures (DVD, Blu-ray, DVB) are no text. */
  readonly isImage: boolean;
  readonly language: string;
  readonly name: string | undefined;
  readonly role: 'subtitles' | 'captions' | 'forced';
};

/** What `ffmpeg -i FILE` says about a file. */
export type InputDescription = {
  readonly format: string;
  /** Undefined where the container does not know. */
  readonly durationSeconds: number | undefined;
  readonly video: VideoStream | undefined;
  /** The stream that players would choose first. */
  readonly audio: readonly AudioStream[];
  readonly text: readonly TextStream[];
};

/**
 * The exact rate behind ffmpeg's two printed decimals: NTSC rates are thousands over 1001, the others hundredths.
 * Undefined for what is no frame rate.
 */
export function frameRateOf(printed: number): FrameRate | undefined {
  if (!Number.isFinite(printed) || printed <= 0) return undefined;
  const whole = Math.round(printed);
  if (Math.abs(printed - whole) < 0.0005) return { num: whole, den: 1 };
  if (Math.abs(printed - (whole * 1000) / 1001) < 0.006) return { num: whole * 1000, den: 1001 };
  const hundredths = Math.round(printed * 100);
  if (hundredths < 1) return undefined;
  const divisor = gcd(hundredths, 100);
  return { num: hundredths / divisor, den: 100 / divisor };
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

/** Rates that cameras and players know. */
const STANDARD_RATES = [23.98, 24, 25, 29.97, 30, 48, 50, 59.94, 60] as const;

/**
 * The grid for a stream of `mean` frames a second whose finest raster ffmpeg guesses as `base` (both as printed). A
 * constant rate is kept. A variable one goes onto the raster that it was made on, or the next standard rate above its
 * mean, so that no frame is lost to a grid that is too coarse.
 */
export function gridOf(mean: number, base: number): { frameRate: FrameRate; isVariable: boolean } | undefined {
  const isStandard = (rate: number): boolean => STANDARD_RATES.some((standard) => Math.abs(standard - rate) < 0.006);
  const known = Number.isFinite(mean) && mean > 0 ? mean : base;
  const isConstant = isStandard(known) || !Number.isFinite(base) || Math.abs(known - base) < 0.006;
  const grid = isConstant
    ? known
    : isStandard(base) && base > known
      ? base
      : (STANDARD_RATES.find((standard) => standard >= known) ?? known);
  const frameRate = frameRateOf(grid);
  return frameRate === undefined ? undefined : { frameRate, isVariable: !isConstant };
}

const clock = (text: string): number | undefined => {
  const match = /^(\d+):(\d\d):(\d\d(?:\.\d+)?)$/.exec(text);
  return match === null ? undefined : Number(match[1]) * 3600 + Number(match[2]) * 60 + Number(match[3]);
};

/** Reads the description of input 0 from ffmpeg's standard error; undefined when ffmpeg described none. */
export function parseInput(stderr: string): InputDescription | undefined {
  const lines = stderr.split(/\r?\n/).map((line) => line.replace(/\[(?:info|warning|error|verbose)\] ?/g, ''));
  const start = lines.findIndex((line) => /^\s*Input #0, /.test(line));
  if (start < 0) return undefined;
  const format = /^\s*Input #0, (.+), from '/.exec(lines[start] ?? '')?.[1] ?? 'unknown';
  const printed = /Duration: ([\d:.]+)/.exec(lines.slice(start).find((line) => line.includes('Duration:')) ?? '')?.[1];
  const blocks = streamBlocks(lines.slice(start));
  const isDefault = (block: readonly string[]): boolean => (block[0] ?? '').includes('(default)');
  const heard = [...blocks].sort((a, b) => Number(isDefault(b)) - Number(isDefault(a)));
  return {
    format,
    durationSeconds: printed === undefined ? undefined : clock(printed),
    video: blocks.map(parseVideo).find((stream) => stream !== undefined),
    audio: heard.map(parseAudio).filter((stream) => stream !== undefined),
    text: blocks.map(parseText).filter((stream) => stream !== undefined),
  };
}

/** Lines of each `Stream #0:n`, its metadata and side data included. */
function streamBlocks(lines: readonly string[]): string[][] {
  const blocks: string[][] = [];
  for (const line of lines) {
    if (/^\s*Stream #0:\d+/.test(line)) blocks.push([line]);
    else if (/^\s*(?:Output #|Stream mapping)/.test(line)) break;
    else blocks.at(-1)?.push(line);
  }
  return blocks;
}

function parseVideo(block: readonly string[]): VideoStream | undefined {
  const head = block[0] ?? '';
  const stream = /Stream #0:(\d+).*?: Video: (\w+)/.exec(head);
  const size = /, (\d{1,6})x(\d{1,6})[ ,]/.exec(`${head},`);
  if (stream === null || size === null || head.includes('(attached pic)')) return undefined;
  const rate = (unit: string): number => {
    const [, digits, thousands] = new RegExp(`, ([\\d.]+)(k?) ${unit}\\b`).exec(head) ?? [];
    return Number(digits) * (thousands === 'k' ? 1000 : 1);
  };
  const grid = gridOf(rate('fps'), rate('tbr'));
  if (grid === undefined) return undefined;
  const aspect = /SAR (\d+):(\d+)/.exec(head);
  const rotation = /rotation of (-?[\d.]+) degrees/.exec(block.join('\n'));
  const pixelAspect = Number(aspect?.[1] ?? 1) / Number(aspect?.[2] ?? 1);
  return {
    index: Number(stream[1]),
    codec: stream[2] ?? 'unknown',
    width: Number(size[1]),
    height: Number(size[2]),
    pixelAspect: Number.isFinite(pixelAspect) && pixelAspect > 0 ? pixelAspect : 1,
    ...grid,
    quarterTurns: (((Math.round(-Number(rotation?.[1] ?? 0) / 90) % 4) + 4) % 4) + 0,
    isInterlaced: /top first|bottom first|top coded|bottom coded/.test(head),
    ...parsePixels(head, Number(size[2])),
  };
}

/** Names of ITU-T H.273 that all encoders here can signal. */
const PRIMARIES = ['bt709', 'bt470m', 'bt470bg', 'smpte170m', 'smpte240m', 'film', 'bt2020', 'smpte432'];
const TRANSFERS = [
  ...['bt709', 'bt470m', 'bt470bg', 'smpte170m', 'smpte240m', 'iec61966-2-1'],
  ...['bt2020-10', 'bt2020-12', 'smpte2084', 'arib-std-b67'],
];
const MATRICES = ['bt709', 'fcc', 'bt470bg', 'smpte170m', 'smpte240m', 'bt2020nc'];
/** Pictures of at least this many lines are taken for BT.709 where nothing is said, lower ones for BT.601. */
const HD_LINES = 720;

function parsePixels(
  head: string,
  lines: number,
): Pick<VideoStream, 'hasAlpha' | 'isRgb' | 'bitDepth' | 'videoRange' | 'colour'> {
  const [, format = '', inside = ''] = /: Video: [^,]+, (\w+)(?:\((.*?)\))?, \d/.exec(head) ?? [];
  const isRgb = /^(?:gbr|rgb|bgr|argb|abgr|0rgb|0bgr|x2rgb|x2bgr|pal8)/.test(format);
  const stated = inside.split(',').map((part) => part.trim().split('/'));
  const named = stated.find((names) => names.length === 3 || MATRICES.includes(names[0] ?? '')) ?? [];
  const [matrix, primaries = matrix, transfer = matrix] = named;
  const guess = lines >= HD_LINES || isRgb ? 'bt709' : lines === 576 || lines === 288 ? 'bt470bg' : 'smpte170m';
  const known = (names: readonly string[], name: string | undefined, otherwise: string): string =>
    name !== undefined && names.includes(name) ? name : otherwise;
  const colour = {
    primaries: known(PRIMARIES, primaries, guess),
    transfer: known(TRANSFERS, transfer, guess === 'bt709' ? 'bt709' : 'smpte170m'),
    matrix: isRgb ? 'bt709' : known(MATRICES, matrix, guess),
  };
  const range = colour.transfer === 'smpte2084' ? 'PQ' : colour.transfer === 'arib-std-b67' ? 'HLG' : 'SDR';
  return {
    hasAlpha: /^(?:yuva|gbrap|rgba|bgra|argb|abgr|ya8|ya16|ayuv|vuya|pal8)/.test(format),
    isRgb,
    bitDepth: /(?:9|10|12|14|16|32|f16|f32|48|64)(?:le|be)$|^x2(?:rgb|bgr)10/.test(format) ? 10 : 8,
    videoRange: range,
    colour,
  };
}

/** Channel counts of layouts that are named by a word. */
const LAYOUTS: Readonly<Record<string, number>> = {
  ...{ mono: 1, stereo: 2, downmix: 2, binaural: 2, quad: 4, hexagonal: 6, octagonal: 8, hexadecagonal: 16, cube: 8 },
};

/** Channels of a layout as ffmpeg names it: `5.1(side)` has 6. */
function channelsOf(layout: string): number {
  const [, full, low, high] = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(layout) ?? [];
  if (full !== undefined) return Number(full) + Number(low) + Number(high ?? 0);
  const counted = /^(\d+) channels/.exec(layout)?.[1];
  return counted === undefined ? (LAYOUTS[layout.replace(/\(.*/, '')] ?? 2) : Number(counted);
}

/** BCP 47 for the ISO 639-2 code or tag of a stream: `ger` is `de`. */
function languageTag(tag: string | undefined): string {
  if (tag === undefined) return 'und';
  try {
    return Intl.getCanonicalLocales(tag)[0] ?? 'und';
  } catch {
    // What is no language tag says nothing.
    return 'und';
  }
}

/** The stream's own title, one short line of printable text. */
function nameOf(block: readonly string[]): string | undefined {
  const title = /^\s+title\s*: (.+)$/m.exec(block.join('\n'))?.[1]?.replace(/\p{C}/gu, '').trim().slice(0, 100);
  return title === '' ? undefined : title;
}

const LANGUAGE = String.raw`Stream #0:(\d+)(?:\[\w+\])?(?:\(([\w-]+)\))?`;

function parseAudio(block: readonly string[]): AudioStream | undefined {
  const head = block[0] ?? '';
  const match = new RegExp(`${LANGUAGE}: Audio: [^,]+, \\d+ Hz, ([^,]+)`).exec(head);
  if (match === null) return undefined;
  const isDescription = /\((?:visual impaired|descriptions)\)/.test(head);
  return {
    index: Number(match[1]),
    language: languageTag(match[2]),
    channels: channelsOf(match[3] ?? ''),
    name: nameOf(block),
    role: isDescription ? 'description' : head.includes('(comment)') ? 'commentary' : 'main',
  };
}

/** Subtitles that are pictures; what ffmpeg cannot turn into text. */
const IMAGE_TEXT = /^(?:dvd_subtitle|hdmv_pgs_subtitle|dvb_subtitle|xsub|dvb_teletext|arib_caption)$/;

function parseText(block: readonly string[]): TextStream | undefined {
  const head = block[0] ?? '';
  const match = new RegExp(`${LANGUAGE}: Subtitle: (\\w+)`).exec(head);
  if (match === null) return undefined;
  const codec = match[3] ?? 'unknown';
  return {
    index: Number(match[1]),
    codec,
    isImage: IMAGE_TEXT.test(codec),
    language: languageTag(match[2]),
    name: nameOf(block),
    role: head.includes('(forced)')
      ? 'forced'
      : /\((?:hearing impaired|captions)\)/.test(head)
        ? 'captions'
        : 'subtitles',
  };
}

/**
 * How far the first frame, at the time that showinfo printed, lies behind the grid's last tick: seconds, less than a frame.
 * Where sound begins before the picture (the priming of AAC is enough), every frame lies off the grid by as much.
 */
export function parsePhase(stderr: string, { num, den }: FrameRate): number {
  const seconds = Number(/\[Parsed_showinfo[^\n]* pts_time:\s*(-?\d+(?:\.\d+)?)/.exec(stderr)?.[1] ?? 0);
  const frames = (seconds * num) / den;
  // Times are printed, and in Matroska stored, rounded: a frame a little early is on its tick.
  return ((frames - Math.floor(frames + 0.05)) * den) / num;
}

/** What showinfo says of the first decoded frame: the display it was graded on and its light, where they are told. */
export function parseLight(stderr: string): {
  mastering: MasteringDisplay | undefined;
  light: ContentLight | undefined;
} {
  const at = String.raw`\(\s*([\d.]+)[ ,]+([\d.]+)\s*\)`;
  const display = new RegExp(
    `has_primaries:1 has_luminance:1 r${at} g${at} b${at} wp${at} min_luminance=([\\d.]+), max_luminance=([\\d.]+)`,
  ).exec(stderr);
  const light = /Content light level \w+: MaxCLL=(\d+), MaxFALL=(\d+)/i.exec(stderr);
  const [rx = 0, ry = 0, gx = 0, gy = 0, bx = 0, by = 0, wx = 0, wy = 0, minLuminance = 0, maxLuminance = 0] =
    display?.slice(1).map(Number) ?? [];
  return {
    mastering:
      display === null
        ? undefined
        : { red: [rx, ry], green: [gx, gy], blue: [bx, by], white: [wx, wy], minLuminance, maxLuminance },
    light: light === null ? undefined : { max: Number(light[1]), average: Number(light[2]) },
  };
}
