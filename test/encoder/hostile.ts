// Files that try to make a decoder open other files or addresses. Each is a container or text that some player follows.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FfmpegTool } from '../../encoder/ffmpeg/find.ts';

/** Writes them all into `folder`; gives their paths. `secret` is a local video that none of them may show. */
export function makeHostile(
  tool: FfmpegTool,
  { folder, port, secret }: { readonly folder: string; readonly port: number; readonly secret: string },
): string[] {
  const remote = `http://127.0.0.1:${port}/x`;
  const playlist = `#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n${remote}.ts\n#EXT-X-ENDLIST\n`;
  const local = playlist.replace(`${remote}.ts`, secret);
  const mpd = `<MPD type="static"><Period><AdaptationSet><Representation><BaseURL>${remote}</BaseURL></Representation></AdaptationSet></Period></MPD>`;
  const smil = `<smil><body><video src="${remote}"/></body></smil>`;
  const texts: Readonly<Record<string, string>> = {
    'plain.m3u8': playlist,
    'local.m3u8': local,
    'named.mp4': playlist,
    'named.ts': local,
    'lines.mkv': `\n\n \t\n${playlist}`,
    'mark.m3u8': `\ufeff${playlist}`,
    'far.m3u8': `${' '.repeat(2000)}${playlist}`,
    'list.ffconcat': `ffconcat version 1.0\nfile '${remote}.mp4'\n`,
    'local.ffconcat': `ffconcat version 1.0\nfile '${secret}'\n`,
    'old.txt': `file '${remote}.mp4'\n`,
    'note.txt': `# a list\nfile '${secret}'\n`,
    'a.mpd': `<?xml version="1.0"?>${mpd}`,
    'bare.mpd': mpd,
    'comment.mpd': `<!-- x -->${mpd}`,
    'a.smil': smil,
    'a.asx': `<asx version="3.0"><entry><ref href="${remote}"/></entry></asx>`,
    'a.pls': `[playlist]\nFile1=${remote}\n`,
    'a.sdp': `v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video ${port} RTP/AVP 96\r\n`,
    'a.svg': `<svg xmlns="http://www.w3.org/2000/svg"><image href="${remote}"/></svg>`,
    'reference.mov': `RTSPtextrtsp://127.0.0.1:${port}/x\r\n`,
    'a.ram': `${remote}\n`,
    'a.ism': `<SmoothStreamingMedia Url="${remote}"></SmoothStreamingMedia>`,
    'a.fffw': `;FFMETADATA1\ntitle=x\nfile=${remote}\n`,
  };
  const paths = Object.entries(texts).map(([name, text]) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  });
  return [...paths, ...makeReferences(tool, { folder, remote, secret })];
}

/** MP4s whose tracks say that their samples lie elsewhere. */
function makeReferences(
  tool: FfmpegTool,
  { folder, remote, secret }: { readonly folder: string; readonly remote: string; readonly secret: string },
): string[] {
  const clean = join(folder, 'clean.mov');
  const source = ['-f', 'lavfi', '-i', 'testsrc2=s=64x64:r=25:d=0.2', '-c:v', 'mpeg4', '-movflags', '+faststart'];
  execFileSync(tool.path, ['-v', 'error', '-nostdin', '-y', ...source, clean]);
  const bytes = readFileSync(clean);
  // dref holds one entry, "url " with the flag that says: in this same file.
  const at = bytes.indexOf('url ', bytes.indexOf('dref'));
  return [`${remote}.mov`, `file://${secret}`, secret].map((target, number) => {
    const path = join(folder, `elsewhere-${number}.mov`);
    const text = Buffer.from(`${target}\0`);
    const entry = Buffer.concat([Buffer.alloc(4), Buffer.from('url '), Buffer.alloc(4), text]);
    entry.writeUInt32BE(entry.length, 0);
    const grown = Buffer.concat([bytes.subarray(0, at - 4), entry, bytes.subarray(at + 8)]);
    for (const box of ['moov', 'trak', 'mdia', 'minf', 'dinf', 'dref']) {
      const from = grown.indexOf(box) - 4;
      grown.writeUInt32BE(grown.readUInt32BE(from) + text.length, from);
    }
    // Without its own samples only a followed reference gives pictures.
    writeFileSync(path, grown.subarray(0, grown.indexOf('mdat') + 4));
    return path;
  });
}
