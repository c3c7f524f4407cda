// Reads what ffmpeg prints of itself: progress, cost, loudness and quality logs. Pure.

/** The version token of `ffmpeg -version`, such as `n7.0-7-gd38bf5e08e`; undefined when it is no ffmpeg. */
export function parseVersion(stdout: string): string | undefined {
  return /^ffmpeg version (\S+)/m.exec(stdout)?.[1];
}

/** Names of the encoders that `ffmpeg -encoders` lists. */
export function parseEncoders(stdout: string): string[] {
  return [...stdout.matchAll(/^ [VASFXBD.]{6} (\S+)/gm)].map(([, name]) => name ?? '').filter((name) => name !== '=');
}

/** CPU seconds (user and system) from the line that `-benchmark` prints; 0 when it is not there. */
export function parseCpuSeconds(stderr: string): number {
  const match = /bench: utime=([\d.]+)s stime=([\d.]+)s/.exec(stderr);
  return match === null ? 0 : Number(match[1]) + Number(match[2]);
}

/** Most memory resident in the run, in megabytes, from the line that `-benchmark` prints; 0 when it is not there. */
export function parsePeakMegabytes(stderr: string): number {
  return Number(/bench: maxrss=(\d+)/.exec(stderr)?.[1] ?? 0) / 1024;
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

/** What EBU R 128 measures over a whole track. */
export type Loudness = {
  /** LUFS, ITU-R BS.1770-4; -70 is silence. */
  readonly integratedLufs: number;
  /** Loudness units between soft and loud parts, EBU Tech 3342. */
  readonly rangeLu: number;
  /** dBTP over all channels, ITU-R BS.1770-4 Annex 2; undefined for digital silence. */
  readonly truePeakDbtp?: number;
};

/** The last summary that ffmpeg's ebur128 filter printed; undefined when there is none. */
export function parseLoudness(stderr: string): Loudness | undefined {
  const summary = stderr.slice(Math.max(0, stderr.lastIndexOf('Integrated loudness:')));
  const value = (name: string): number | undefined => {
    const printed = new RegExp(`\\b${name}:\\s+(-?[\\d.]+|-inf|nan) `).exec(summary)?.[1];
    const number = Number(printed);
    return printed === undefined || !Number.isFinite(number) ? undefined : number;
  };
  const integratedLufs = value('I');
  if (integratedLufs === undefined) return undefined;
  const truePeakDbtp = value('Peak');
  return { integratedLufs, rangeLu: value('LRA') ?? 0, ...(truePeakDbtp === undefined ? {} : { truePeakDbtp }) };
}
