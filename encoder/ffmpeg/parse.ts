// Reads what ffmpeg prints: its banner, the description of an input (there is no ffprobe in the bundled build),
// progress, cost and quality logs. Pure.

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
  readonly frameRate: FrameRate;
  /** Clockwise quarter turns to show it upright, 0..3. */
  readonly quarterTurns: number;
  readonly isInterlaced: boolean;
  readonly isHdr: boolean;
};

/** The first audio stream of an input. */
export type AudioStream = { readonly index: number; readonly channels: number; readonly language: string };

/** What `ffmpeg -i FILE` says about a file. */
export type InputDescription = {
  readonly format: string;
  /** Undefined where the container does not know. */
  readonly durationSeconds: number | undefined;
  readonly video: VideoStream | undefined;
  readonly audio: AudioStream | undefined;
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
  const video = blocks.map(parseVideo).find((stream) => stream !== undefined);
  const audio = blocks.map(parseAudio).find((stream) => stream !== undefined);
  return { format, durationSeconds: printed === undefined ? undefined : clock(printed), video, audio };
}

/** Lines of each `Stream #0:n`, its side data included. */
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
  const aspect = /SAR (\d+):(\d+)/.exec(head);
  const rate = /, ([\d.]+)(k?) fps/.exec(head) ?? /, ([\d.]+)(k?) tbr/.exec(head);
  const frameRate = frameRateOf(Number(rate?.[1]) * (rate?.[2] === 'k' ? 1000 : 1));
  if (frameRate === undefined) return undefined;
  const rotation = /rotation of (-?[\d.]+) degrees/.exec(block.join('\n'));
  const pixelAspect = Number(aspect?.[1] ?? 1) / Number(aspect?.[2] ?? 1);
  return {
    index: Number(stream[1]),
    codec: stream[2] ?? 'unknown',
    width: Number(size[1]),
    height: Number(size[2]),
    pixelAspect: Number.isFinite(pixelAspect) && pixelAspect > 0 ? pixelAspect : 1,
    frameRate,
    quarterTurns: (((Math.round(-Number(rotation?.[1] ?? 0) / 90) % 4) + 4) % 4) + 0,
    isInterlaced: /top first|bottom first|top coded|bottom coded/.test(head),
    isHdr: /smpte2084|arib-std-b67/.test(head),
  };
}

const CHANNELS: Readonly<Record<string, number>> = { mono: 1, stereo: 2 };

function parseAudio(block: readonly string[]): AudioStream | undefined {
  const match = /Stream #0:(\d+)(?:\[\w+\])?(?:\((\w+)\))?: Audio: [^,]+, \d+ Hz, ([^,]+)/.exec(block[0] ?? '');
  if (match === null) return undefined;
  return { index: Number(match[1]), language: match[2] ?? 'und', channels: CHANNELS[match[3] ?? ''] ?? 2 };
}

/** The version token of `ffmpeg -version`, such as `n7.0-7-gd38bf5e08e`; undefined when it is no ffmpeg. */
export function parseVersion(stdout: string): string | undefined {
  return /^ffmpeg version (\S+)/m.exec(stdout)?.[1];
}

/** CPU seconds (user and system) from the line that `-benchmark` prints; 0 when it is not there. */
export function parseCpuSeconds(stderr: string): number {
  const match = /bench: utime=([\d.]+)s stime=([\d.]+)s/.exec(stderr);
  return match === null ? 0 : Number(match[1]) + Number(match[2]);
}

/** Frames written so far, from ffmpeg's `-progress` key=value lines; undefined when they name none. */
export function parseProgressFrames(text: string): number | undefined {
  const frame = [...text.matchAll(/^frame=\s*(\d+)\s*$/gm)].at(-1)?.[1];
  return frame === undefined ? undefined : Number(frame);
}

/** Per-frame VMAF from libvmaf's JSON log, in frame order. Throws SyntaxError or TypeError on another shape. */
export function parseVmafLog(json: string): number[] {
  // libvmaf's own log; a missing number becomes NaN and is refused by the caller.
  const log = JSON.parse(json) as { readonly frames: readonly { readonly metrics: { readonly vmaf?: number } }[] };
  return log.frames.map((frame) => frame.metrics.vmaf ?? Number.NaN);
}

/** Per-frame values from the stats file of ssim (`All:`), psnr (`psnr_y:`) or xpsnr (`XPSNR y:`). */
export function parseStats(text: string, metric: 'ssim' | 'psnr' | 'xpsnr'): number[] {
  const pattern = { ssim: /All:\s*([\d.]+|inf)/, psnr: /psnr_y:\s*([\d.]+|inf)/, xpsnr: /XPSNR y:\s*([\d.]+|inf)/ };
  return text
    .split('\n')
    .map((line) => pattern[metric].exec(line)?.[1])
    .filter((value) => value !== undefined)
    .map((value) => (value === 'inf' ? 100 : Number(value)));
}
