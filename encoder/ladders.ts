// Which ladders this job gets on this machine, and which notes go with them.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { holdContest, isThere } from './contest.ts';
import type { EncodeJob } from './contract.ts';
import { EncoderError } from './errors.ts';
import { chooseKinds, type LadderKind, type Note, wantedCodecs } from './ffmpeg/codecs/choose.ts';
import type { CodecName, VideoCodec } from './ffmpeg/codecs/codec.ts';
import { HARDWARE, type Verdict } from './ffmpeg/codecs/hardware.ts';
import { SOFTWARE } from './ffmpeg/codecs/software.ts';
import type { Source } from './ffmpeg/probe.ts';
import type { Ffmpeg } from './ffmpeg/run.ts';
import type { Shot } from './ffmpeg/shots.ts';
import { type Journal, keyOf } from './journal.ts';

/** What decides on ladders. */
export type LadderContext = {
  readonly job: EncodeJob;
  readonly ffmpeg: Ffmpeg;
  readonly source: Source;
  readonly shots: readonly Shot[];
  readonly journal: Journal;
};

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
  const told = [...sourceNotes(source), ...notes];
  if (job.hardware === 'off') return { kinds, notes: told };
  const chosen: LadderKind[] = [];
  for (const kind of kinds) {
    const { codec, note } = await bestEncoder(context, kind);
    chosen.push({ ...kind, codec });
    if (note !== undefined) told.push(note);
  }
  return { kinds: chosen, notes: told };
}

/** Software, unless hardware that is there wins a contest over frames of this title; remembered in the journal. */
async function bestEncoder(
  { job, ffmpeg, source, shots, journal }: LadderContext,
  kind: LadderKind,
): Promise<{ codec: VideoCodec; note?: Note }> {
  const folder = join(job.outDir, 'trials');
  const asked = HARDWARE[kind.codec.name].filter(
    ({ encoder, bitDepths, smallest }) =>
      ffmpeg.tool.encoders.includes(encoder) &&
      bitDepths.includes(kind.picture.bitDepth) &&
      Math.min(source.view.width, source.view.height) >= smallest,
  );
  let lost: Note | undefined;
  for (const codec of asked) {
    if (!(await isThere(ffmpeg, codec, kind.picture))) continue;
    const key = keyOf('contest', source.sha256, ffmpeg.tool.version, kind.id, codec.encoder, job.preset);
    await mkdir(folder, { recursive: true });
    const contest = { ffmpeg, source, shots, folder, preset: job.preset, subsample: job.trials.subsample };
    const known = journal.find<Verdict>(key);
    const verdict = known ?? (await holdContest({ ...contest, software: kind }, codec));
    if (known === undefined) await journal.add(key, verdict);
    const message = `${codec.encoder} for ${kind.id}: ${verdict.why}`;
    if (verdict.wins) return { codec, note: { code: 'hardware-used', message } };
    lost = { code: 'hardware-left', message };
  }
  return lost === undefined ? { codec: kind.codec } : { codec: kind.codec, note: lost };
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
