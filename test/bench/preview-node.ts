// A node under 1,000 requests for previews a second, asked whatever became of those before, while viewers stream segments
// from it: how long the first byte takes.
import { Agent, get } from 'node:http';
import type { ClipPackage } from '../fake/clip-package.ts';
import { percentile } from './figures.ts';
import { startNode } from './preview-figures.ts';

const PREVIEWS_PER_SECOND = 1000;
/** One in so many previews is a spliced file. */
const FILE_EVERY = 100;
const SEGMENTS_PER_SECOND = 200;
const TICK_MS = 5;
const WARM_MS = 3_000;
const MEASURED_MS = 15_000;
const SESSIONS = 200;

type Asked = { readonly firstByteMs: number; readonly status: number };

function ask(agent: Agent, port: number, path: string): Promise<Asked> {
  const startedAt = performance.now();
  return new Promise((resolve, reject) => {
    get({ agent, port, path, host: '127.0.0.1' }, (response) => {
      const firstByteMs = performance.now() - startedAt;
      response.resume();
      response.on('end', () => resolve({ firstByteMs, status: response.statusCode ?? 0 }));
      response.on('error', reject);
    }).on('error', reject);
  });
}

/** Half of the previews are of viewers with a history. */
async function openSessions(port: number, clips: readonly ClipPackage[]): Promise<void> {
  for (let n = 0; n < SESSIONS; n += 1) {
    const title = clips[n % clips.length]?.title.id ?? '';
    const events = [
      { at: Date.now(), type: 'play', title, positionSeconds: 0 },
      { at: Date.now(), type: 'stop', title, positionSeconds: 20 },
    ];
    const body = JSON.stringify({ version: 1, sid: `bench-session-${n}`, consent: 'personal', events });
    const headers = { 'content-type': 'application/json' };
    await fetch(`http://127.0.0.1:${port}/.nearcast/events`, { method: 'POST', body, headers });
  }
}

/** p99 of the first byte of previews, and of the segments beside them; both in milliseconds. */
export async function measureNode(
  dir: string,
  publicDir: string,
  clips: readonly ClipPackage[],
): Promise<Record<string, number>> {
  const node = await startNode(dir, publicDir, clips);
  const agent = new Agent({ keepAlive: true, maxSockets: 256 });
  try {
    await openSessions(node.port, clips);
    const media = clips.flatMap(({ files }) => [...files.keys()].filter((path) => path.endsWith('.m4s')));
    const counts = { preview: 0, segment: 0 };
    const previewPath = () => {
      const n = counts.preview++;
      const kind = n % FILE_EVERY === 0 ? 'mp4' : 'm3u8';
      const sid = n % 2 === 0 ? `&sid=bench-session-${n % SESSIONS}` : '';
      return `/.nearcast/preview/${clips[n % clips.length]?.title.id}.${kind}?maxHeight=540${sid}`;
    };
    const segmentPath = () => media[counts.segment++ % media.length] ?? '';
    const load = async (forMs: number) => {
      const previews: Promise<Asked>[] = [];
      const segments: Promise<Asked>[] = [];
      const startedAt = performance.now();
      for (let at = 0; at < forMs; at += TICK_MS) {
        const early = startedAt + at - performance.now();
        if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
        const due = (rate: number, sent: number) => Math.floor(((at + TICK_MS) * rate) / 1000) - sent;
        for (let n = due(PREVIEWS_PER_SECOND, previews.length); n > 0; n -= 1)
          previews.push(ask(agent, node.port, previewPath()));
        for (let n = due(SEGMENTS_PER_SECOND, segments.length); n > 0; n -= 1)
          segments.push(ask(agent, node.port, segmentPath()));
      }
      return { previews: await Promise.all(previews), segments: await Promise.all(segments) };
    };
    await load(WARM_MS);
    const cpuBefore = node.cpuMs();
    const { previews, segments } = await load(MEASURED_MS);
    const cpuMs = node.cpuMs() - cpuBefore;
    const failed = [...previews, ...segments].filter(({ status }) => status !== 200).length;
    const timesOf = (list: readonly Asked[]) => list.map(({ firstByteMs }) => firstByteMs);
    return {
      first_byte_p50_ms: percentile(timesOf(previews), 0.5),
      first_byte_p99_ms: percentile(timesOf(previews), 0.99),
      segment_first_byte_p99_ms: percentile(timesOf(segments), 0.99),
      cpu_ms_per_request: cpuMs / (previews.length + segments.length),
      failed_requests: failed,
      new_media_bytes: node.originBytes(),
    };
  } finally {
    agent.destroy();
    await node.stop();
  }
}
