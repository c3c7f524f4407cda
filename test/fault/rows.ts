// Which test asserts which row of the fault matrix: the file, and a piece of the test's name.

/** A row's tests. Those in test/fault/ are run by `npm run test:fault`, all others by `npm test`. */
export type Row = { readonly row: number; readonly file: string; readonly names: readonly string[] };

const crash = 'test/cache/store/crash.test.ts';
const damage = 'test/cache/store/damage.test.ts';
const full = 'test/cache/store/fault.test.ts';
const long = 'test/fault/store.test.ts';
const origin = 'test/fault/origin.test.ts';
const reload = 'test/agent/node/reload.test.ts';
const disk = 'test/fault/disk.test.ts';
const busy = 'test/fault/busy.test.ts';
const clients = 'test/fault/clients.test.ts';
const encoder = 'test/fault/encoder.test.ts';
const input = 'test/encoder/ffmpeg/input.test.ts';
const job = 'test/encoder/job/job.test.ts';
const model = 'test/agent/node/model.test.ts';
const registry = 'test/agent/model/registry.test.ts';
const overload = 'test/cache/http/overload.test.ts';

/** In the order of the matrix. */
export const ROWS: readonly Row[] = [
  { row: 1, file: crash, names: ['killed at any moment: no wrong byte'] },
  { row: 1, file: long, names: ['row 1: kills', 'row 1: 20 kills of a naive store'] },
  { row: 2, file: long, names: ['row 2: killed at system calls'] },
  { row: 3, file: long, names: ['row 3: 20 power cuts', 'row 3: power cuts under a naive store'] },
  { row: 4, file: damage, names: ['truncated, overwritten, missing, its log torn', 'of another program: put aside'] },
  { row: 4, file: long, names: ['row 4: the database damaged at 4 x 150 places'] },
  { row: 5, file: damage, names: ['byte ', 'an inline body that was changed'] },
  { row: 5, file: 'test/cache/http/fill.test.ts', names: ['a flipped byte is noticed, fetched anew'] },
  { row: 6, file: damage, names: ['truncated', 'extended'] },
  { row: 7, file: damage, names: ['two body files of one length, swapped'] },
  { row: 8, file: damage, names: ['deleted', 'its directory deleted'] },
  { row: 9, file: full, names: ['while a body is written: viewers have it from RAM', 'a small file system, filled'] },
  { row: 9, file: disk, names: ['row 9: a disk that is full before its limit'] },
  { row: 10, file: full, names: ['only noticed by fsync: the copy is dropped'] },
  { row: 10, file: disk, names: ['row 10: a disk that takes bytes and fails to sync'] },
  { row: 11, file: full, names: ['errors of reading count against the disk', 'a disk that fails again and again'] },
  { row: 11, file: disk, names: ['row 11: one file that cannot be read'] },
  { row: 12, file: disk, names: ['row 12: a file system that is gone', 'row 12: every write and sync fails'] },
  { row: 13, file: full, names: ['a disk that hangs is waited for by nobody'] },
  { row: 13, file: busy, names: ['row 13: syncs that take 200 ms'] },
  { row: 14, file: full, names: ['a write that takes only part of a block'] },
  { row: 14, file: disk, names: ['row 14: writes that say they took 100 bytes'] },
  { row: 15, file: busy, names: ['row 15: few descriptors', 'row 15: none left at all'] },
  { row: 16, file: full, names: ['a file in its place', 'no right to write', 'a directory that can be used later'] },
  { row: 17, file: damage, names: ['a row of a newer format', 'a newer layout is refused whole'] },
  { row: 18, file: full, names: ['a second owner is refused', 'a second process is refused'] },
  { row: 19, file: 'test/cache/rules/pressure.test.ts', names: ['the share stays within its bounds'] },
  { row: 19, file: busy, names: ['row 19: memory runs short'] },
  { row: 20, file: origin, names: ['row 20: refused connections', 'row 20: a name without an address'] },
  { row: 21, file: origin, names: ['21: cut mid-body, length known'] },
  { row: 22, file: origin, names: ['22: chunked, no last chunk', 'row 22: a body that only the end'] },
  { row: 23, file: origin, names: ['23: a black hole', '23: a body that stops'] },
  { row: 24, file: origin, names: ['24: a trickle'] },
  { row: 24, file: 'test/cache/http/origin.test.ts', names: ['is cut though each byte comes before'] },
  { row: 25, file: origin, names: ['row 25: on a thin, long, lossy line'] },
  {
    row: 26,
    file: origin,
    names: ['26: longer than', '26: two lengths', '26: a 206 for a 200', '26: a 304 for nothing'],
  },
  { row: 26, file: origin, names: ['row 26: a Content-Range', 'row 26: a coding that was not asked for'] },
  { row: 27, file: origin, names: ['row 27: another tag between two ranges'] },
  { row: 28, file: origin, names: ['row 28: a storm of 5xx'] },
  { row: 28, file: 'test/cache/http/origin.test.ts', names: ['is asked by one probe, then by few at once'] },
  { row: 29, file: origin, names: ['row 29: a redirect to'] },
  { row: 29, file: 'test/cache/rules/lies.test.ts', names: ['a redirection to %s leads to'] },
  { row: 30, file: origin, names: ['30: a head without end', '30: 70,000 bytes', 'row 30: a body without end'] },
  { row: 31, file: overload, names: ['slow heads and slow readers are cut', 'a reader who trickles is cut'] },
  { row: 31, file: clients, names: ['row 31: 300 slow clients'] },
  { row: 32, file: clients, names: ['row 32: viewers who leave'] },
  { row: 33, file: 'test/cache/http/multipart.test.ts', names: ['overlaps, too many, an If-Range'] },
  { row: 33, file: clients, names: ['row 33: abuse of ranges'] },
  { row: 34, file: 'test/cache/http/malformed.test.ts', names: ['refused with 400 and a closed connection'] },
  { row: 35, file: busy, names: ['row 35: ten thousand waiters', 'row 35: a flood of queries'] },
  { row: 36, file: overload, names: ['above the limit: 503 at accept'] },
  { row: 36, file: busy, names: ['row 36: four times the viewers'] },
  { row: 37, file: encoder, names: ['row 37: once: the shot is done again', 'row 37: always: a coded error'] },
  { row: 37, file: job, names: ['a job killed in its trials goes on'] },
  { row: 38, file: encoder, names: ['row 38: stopped by SIGSTOP', 'row 38: always: given up'] },
  { row: 38, file: 'test/encoder/ffmpeg/ffmpeg.test.ts', names: ['a run that hangs is killed, tried once more'] },
  {
    row: 38,
    file: 'test/agent/encodes.test.ts',
    names: ['on a corrupt input fails with its code, keeps its file aside'],
  },
  { row: 39, file: encoder, names: ['row 39: part %d of 4'] },
  { row: 39, file: input, names: ['200 damaged files end in a coded error'] },
  { row: 40, file: encoder, names: ['row 40: a picture of 256 megapixels', 'row 40: %s: at most 512 MB'] },
  { row: 40, file: input, names: ['pixels: stored, and stretched', 'a gap of an hour', 'streams', 'memory'] },
  { row: 41, file: encoder, names: ['row 41: files that reach out'] },
  { row: 41, file: input, names: ['files that reach out: every one is refused'] },
  { row: 42, file: encoder, names: ['row 42: a disk that fills up'] },
  { row: 43, file: encoder, names: ['row 43: after its first %s', 'row 43: between the two renames'] },
  { row: 43, file: 'test/agent/encoder-process.test.ts', names: ['row 43: killed while its ffmpeg is stopped'] },
  { row: 44, file: 'test/agent/power/power.test.ts', names: ['row 44: heat pauses before the trip'] },
  {
    row: 44,
    file: 'test/agent/power/governor.test.ts',
    names: [
      'a ramp to 95 degrees pauses before the trip',
      'one that is lost makes the node slow',
      'one that stands still while work came',
    ],
  },
  { row: 45, file: encoder, names: ['row 45: scores that are no numbers', 'row 45: a model that is absent'] },
  { row: 46, file: model, names: ['another one than its hash says', '%s: the node starts, is ready, and answers'] },
  {
    row: 46,
    file: registry,
    names: ['a champion that is %s: the one before it', 'a folder that no alias names is never run'],
  },
  { row: 47, file: model, names: ['%s: given up, and the one before it goes on to answer'] },
  {
    row: 47,
    file: 'test/agent/model/runtime.test.ts',
    names: ['a model that answers %s never serves', 'one that goes wrong later is disabled then'],
  },
  { row: 48, file: model, names: ['%s: it never answers, and others do in time, every time'] },
  { row: 48, file: 'test/agent/model/runtime.test.ts', names: ['on a real question: undefined in time, killed, back'] },
  {
    row: 49,
    file: 'test/agent/telemetry/intake.test.ts',
    names: ['one viewer has an allowance', 'an event from the future'],
  },
  { row: 49, file: 'test/agent/telemetry/event.test.ts', names: ['any bytes and any JSON are taken or refused'] },
  { row: 49, file: 'test/agent/telemetry/sessions.test.ts', names: ['is bounded however much is told'] },
  { row: 49, file: 'test/agent/node/consent.test.ts', names: ['one viewer who floods is bounded'] },
  {
    row: 49,
    file: 'test/agent/telemetry/floods.test.ts',
    names: [
      'a hundred thousand events of one viewer',
      'one address with ever new session ids',
      'plays of one title from',
    ],
  },
  { row: 49, file: 'test/fault/floods.test.ts', names: ['row 49: a million events of one viewer'] },
  { row: 49, file: 'test/agent/telemetry/play-cap.test.ts', names: ['bots move the popularity of a title at most'] },
  { row: 49, file: 'test/agent/predict/taste.test.ts', names: ['is bounded and finite whatever the session is'] },
  { row: 50, file: 'test/agent/model/questions.test.ts', names: ['row 50: popularity turned upside down overnight'] },
  { row: 50, file: 'test/agent/prefetching.test.ts', names: ['row 50: '] },
  { row: 56, file: reload, names: ['to %s changes nothing: logged, counted, exit code 78'] },
  { row: 57, file: reload, names: ['under load loses no request and no connection'] },
  { row: 57, file: 'test/fault/reload.test.ts', names: ['row 57: 1,000 reloads'] },
  { row: 58, file: 'test/cache/http/h2.test.ts', names: ['streams in flight end whole, the viewer is told'] },
  { row: 59, file: 'test/cache/http/tls.test.ts', names: ['changed files are taken; a pair that is half there'] },
];
