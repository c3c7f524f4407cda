// An ffmpeg on a machine with an NVENC chip that is not there: takes the options of h264_nvenc as the real one does, and
// encodes with x264. FAKE_CHIP says what kind of chip it is; everything else goes to REAL_FFMPEG as it came.
import { spawn } from 'node:child_process';

/** What the chip does: it is good, or leaves its work to the host, or loses frames, or writes its quality into the init segment, or is gone. */
export type Chip = 'good' | 'costly' | 'lossy' | 'unstitchable' | 'absent';

const ENCODER = 'h264_nvenc';
/** Options of the encoder with one value each, as `ffmpeg -h encoder=h264_nvenc` lists them. */
const TAKEN = ['-tune', '-rc', '-b:v', '-no-scenecut', '-spatial-aq', '-g'];

/** The arguments for x264 that do what these would on the chip; throws on what the real encoder would refuse. */
function translate(args: readonly string[], chip: Chip): string[] {
  const out: string[] = [];
  let isOurs = false;
  for (let at = 0; at < args.length; at += 1) {
    const [name = '', value = ''] = [args[at], args[at + 1]];
    if (name === '-c:v') isOurs = value === ENCODER;
    if (name === '-c:v' && isOurs) {
      const shared = chip === 'unstitchable' ? '' : 'stitchable=1:';
      const x264 = `${shared}keyint=infinite:min-keyint=1:scenecut=0:open-gop=0`;
      out.push('-c:v', 'libx264', '-x264-params', x264);
      if (chip === 'lossy') out.push('-frames:v', '5');
      at += 1;
    } else if (isOurs && name === '-preset') {
      if (!/^p[1-7]$/.test(value)) throw new Error(`[${ENCODER}] unable to parse preset ${value}`);
      out.push('-preset', 'medium');
      at += 1;
    } else if (isOurs && name === '-cq') {
      if (!(Number(value) >= 0 && Number(value) <= 51)) throw new Error(`[${ENCODER}] cq ${value} is out of range`);
      out.push('-crf', value);
      at += 1;
    } else if (isOurs && TAKEN.includes(name)) {
      at += 1;
    } else out.push(name);
  }
  return out;
}

// Started with the kind of chip, the real program, and the arguments of ffmpeg.
const [chip, real = 'ffmpeg', ...args] = process.argv.slice(2) as [Chip, ...string[]];
const isChips = args.includes(ENCODER);
if (isChips && chip === 'absent') {
  process.stderr.write(`[${ENCODER} @ 0x1] Cannot load libcuda.so.1\n`);
  process.exitCode = 1;
} else {
  const child = spawn(real, isChips ? translate(args, chip) : args, {
    stdio: ['inherit', 'inherit', 'pipe', 3, 4],
  });
  // The chip does the work: next to none of it is the host's. Or all of it.
  const cpu = isChips ? `utime=${chip === 'costly' ? 60 : 0.001}s stime=0.001s` : '$&';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    process.stderr.write(text.replace(/utime=[\d.]+s stime=[\d.]+s/, cpu));
  });
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  child.on('close', (code) => {
    process.exitCode = code ?? 1;
  });
}
