// Which ladders a title gets: codecs and light ranges from what the job asks, what the source is, and what the tools can
// do. Pure.
import type { EncodeJob } from '../../contract.ts';
import type { MetricName } from '../../plan/metric.ts';
import { type CodecName, type PictureFormat, SDR_8, type VideoCodec } from './codec.ts';

/** One ladder of a title: an encoder, and the pictures that it keeps. */
export type LadderKind = {
  /** `h264-SDR`; unique within a title. */
  readonly id: string;
  readonly codec: VideoCodec;
  readonly picture: PictureFormat;
  /** What its renditions are scored by. There is no VMAF model for HDR. */
  readonly metric: MetricName;
};

/** Something that was done to a title, or left out of it, and that its owner should know. */
export type Note = {
  readonly code:
    | 'hdr-proxy-metric'
    | 'hdr-dropped'
    | 'sdr-not-made'
    | 'tone-mapped'
    | 'depth-reduced'
    | 'variable-rate'
    | 'deinterlaced'
    | 'alpha-flattened'
    | 'subtitles-left'
    | 'audio-left'
    | 'codec-left'
    | 'hardware-used'
    | 'hardware-left'
    | 'deadline';
  readonly message: string;
};

/** What decides on ladders. */
export type KindOptions = {
  /** Most wanted first. */
  readonly codecs: readonly CodecName[];
  readonly encoders: Readonly<Partial<Record<CodecName, VideoCodec>>>;
  readonly source: PictureFormat;
  /** Of the source, in pixels. */
  readonly width: number;
  readonly height: number;
  /** Whether HDR sources keep HDR renditions, and get SDR ones. */
  readonly hdr: { readonly pass: boolean; readonly toneMap: boolean };
  readonly canToneMap: boolean;
  /** The best metric for SDR. */
  readonly metric: MetricName;
};

/**
 * The ladders, codec by codec as wanted, HDR before SDR within one. 10 bits only from sources that have them. An empty
 * list means that nothing can be made of this source; the notes say why.
 */
export function chooseKinds(options: KindOptions): { kinds: LadderKind[]; notes: Note[] } {
  const notes: Note[] = [];
  const kinds: LadderKind[] = [];
  for (const name of options.codecs) {
    const codec = options.encoders[name];
    if (codec === undefined) {
      notes.push({ code: 'codec-left', message: `this ffmpeg has no encoder for ${name}` });
      continue;
    }
    if (Math.min(options.width, options.height) < codec.smallest) {
      notes.push({ code: 'codec-left', message: `the picture is too small for ${name}` });
      continue;
    }
    for (const picture of picturesFor(codec, options, notes)) {
      const isHdr = picture.videoRange !== 'SDR';
      const metric = isHdr && options.metric !== 'xpsnr' ? 'psnr' : options.metric;
      kinds.push({ id: `${name}-${picture.videoRange}`, codec, picture, metric });
    }
  }
  const hdr = kinds.find(({ picture }) => picture.videoRange !== 'SDR');
  if (hdr !== undefined) {
    const message = `${hdr.picture.videoRange} renditions are scored by ${hdr.metric} of their code values, not by VMAF`;
    notes.push({ code: 'hdr-proxy-metric', message });
  }
  return { kinds, notes: notes.filter(({ code }, at) => notes.findIndex((note) => note.code === code) === at) };
}

function picturesFor(codec: VideoCodec, options: KindOptions, notes: Note[]): PictureFormat[] {
  const { source, hdr, canToneMap } = options;
  const canKeep = codec.bitDepths.includes(source.bitDepth);
  if (source.videoRange === 'SDR') {
    if (!canKeep)
      notes.push({ code: 'depth-reduced', message: `${codec.name} is made with 8 bits of the source's 10` });
    return [canKeep ? source : { ...source, bitDepth: 8 }];
  }
  const pictures: PictureFormat[] = [];
  if (hdr.pass && codec.bitDepths.includes(10)) pictures.push({ ...source, bitDepth: 10 });
  else {
    const why = hdr.pass ? `${codec.name} is made with 8 bits, too few for HDR` : 'the job asks for no HDR';
    notes.push({ code: 'hdr-dropped', message: why });
  }
  if (hdr.toneMap && canToneMap) {
    pictures.push(SDR_8);
    notes.push({ code: 'tone-mapped', message: `SDR renditions are tone mapped from ${source.videoRange} (Hable)` });
  } else if (hdr.toneMap) {
    const message = 'no SDR renditions: this ffmpeg lacks zscale or tonemap, give an SDR master beside the HDR one';
    notes.push({ code: 'sdr-not-made', message });
  }
  return pictures;
}

/** What devices decode, in hardware or, for browsers, at ease. */
const DEVICE_CODECS: Readonly<Record<DeviceClass, readonly CodecName[]>> = {
  /** Any browser or phone since 2012, and all set-top boxes. */
  any: ['h264'],
  /** Televisions and set-top boxes since about 2016: HEVC, with HDR. */
  tv: ['hevc'],
  /** Apple devices since 2017 (hvc1); AV1 only since 2023. */
  apple: ['hevc'],
  /** Browsers on computers: AV1 by dav1d where not in hardware; HEVC in some only. */
  browser: ['av1'],
  /** Phones and tablets since Android 10: AV1 by libgav1 or dav1d. */
  android: ['av1'],
  /** Phones and televisions since about 2021: both in hardware. */
  modern: ['av1', 'hevc'],
};
type DeviceClass = EncodeJob['devices'][number];

/**
 * The codecs of a job: those it names, then what its devices ask for beyond them, best saving first. With devices, h264
 * is always among them: no viewer is left without a picture.
 */
export function wantedCodecs({ codecs, devices }: Pick<EncodeJob, 'codecs' | 'devices'>): CodecName[] {
  const asked = new Set<CodecName>(devices.flatMap((device) => DEVICE_CODECS[device]));
  const beyond = BY_SAVING.filter((codec) => asked.has(codec) || (codec === 'h264' && devices.length > 0));
  return [...new Set([...codecs, ...beyond])];
}

/** Codecs by bits saved. */
const BY_SAVING: readonly CodecName[] = ['av1', 'hevc', 'h264'];
