// Which ladders this job gets on this machine, and which notes go with them.
import type { EncodeJob } from './contract.ts';
import { EncoderError } from './errors.ts';
import { chooseKinds, type LadderKind, type Note, wantedCodecs } from './ffmpeg/codecs/choose.ts';
import type { CodecName, VideoCodec } from './ffmpeg/codecs/codec.ts';
import { SOFTWARE } from './ffmpeg/codecs/software.ts';
import type { Source } from './ffmpeg/probe.ts';
import type { Ffmpeg } from './ffmpeg/run.ts';

/** What decides on ladders. */
export type LadderContext = { readonly job: EncodeJob; readonly ffmpeg: Ffmpeg; readonly source: Source };

/** The ladders, most wanted codec first. Throws ENCODER_INPUT_REFUSED when none can be made of this source. */
export async function chooseLadders(context: LadderContext): Promise<{ kinds: LadderKind[]; notes: Note[] }> {
  const { job, ffmpeg, source } = context;
  const codecs = wantedCodecs(job);
  const encoders: Partial<Record<CodecName, VideoCodec>> = {};
  for (const name of codecs) {
    const software = SOFTWARE[name];
    if (ffmpeg.tool.encoders.includes(software.encoder)) encoders[name] = software;
  }
  const { view } = source;
  const { kinds, notes } = chooseKinds({
    codecs,
    encoders,
    source: view.picture,
    width: view.width,
    height: view.height,
    hdr: job.hdr,
    canToneMap: ffmpeg.tool.canToneMap,
    metric: ffmpeg.tool.metric,
  });
  if (kinds.length === 0) {
    const why = notes.map(({ message }) => message).join('; ');
    throw new EncoderError('ENCODER_INPUT_REFUSED', `no codec of the job can be made of this source: ${why}`);
  }
  return { kinds, notes: [...sourceNotes(source), ...notes] };
}

/** What normalising did to the source. */
function sourceNotes({ view, isVariable, text, audio }: Source): Note[] {
  const { num, den } = view.frameRate;
  const notes: Note[] = [];
  if (isVariable) {
    const message = `frames came at changing distances and were put onto ${(num / den).toFixed(3)} a second`;
    notes.push({ code: 'variable-rate', message });
  }
  if (view.isInterlaced) notes.push({ code: 'deinterlaced', message: 'fields were joined to frames (bwdif)' });
  if (view.hasAlpha) notes.push({ code: 'alpha-flattened', message: 'transparent parts are shown over black' });
  for (const { index, codec } of text.filter(({ isImage }) => isImage)) {
    notes.push({ code: 'subtitles-left', message: `stream ${index} holds subtitles as pictures (${codec})` });
  }
  for (const { index } of audio.slice(MOST_AUDIO)) {
    notes.push({ code: 'audio-left', message: `audio stream ${index} is beyond the first ${MOST_AUDIO}` });
  }
  return notes;
}

/** Audio streams of a source that are encoded. */
export const MOST_AUDIO = 8;
/** Subtitle streams of a source that are kept. */
export const MOST_TEXT = 32;
