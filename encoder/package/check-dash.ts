// The MPD against ISO/IEC 23009-1 and the files that it names.
import type { Problem } from './check.ts';
import {
  averageBandwidthBps,
  minimumBufferSeconds,
  peakBandwidthBps,
  titleTargetSeconds,
  trackSeconds,
} from './rate.ts';
import { type Element, elementsOf, readXml, XmlError } from './read-xml.ts';
import { measured, type Report, reporter, type Written } from './written.ts';

const URL_OF = 'manifest.mpd';

/** Every problem of the package's DASH manifest. */
export function checkDash(written: Written): readonly Problem[] {
  const problems: Problem[] = [];
  const report = reporter(problems, 'manifest', URL_OF);
  const text = written.texts.get(URL_OF);
  if (text === undefined) report('not in the package');
  else {
    try {
      checkMpd(readXml(text), written, report);
    } catch (error) {
      if (!(error instanceof XmlError)) throw error;
      report(error.message);
    }
  }
  return problems;
}

/** Seconds of the durations that we write: `PT12.5S`. */
function seconds(duration: string | undefined): number {
  return Number(/^PT(\d+(?:\.\d+)?)S$/.exec(duration ?? '')?.[1] ?? Number.NaN);
}

function checkMpd(mpd: Element, written: Written, report: Report): void {
  const { title } = written;
  const { attributes } = mpd;
  if (mpd.name !== 'MPD' || attributes['xmlns'] !== 'urn:mpeg:dash:schema:mpd:2011') report('no MPD');
  if (attributes['type'] !== 'static') report('not static');
  const length = Math.max(...title.renditions.map(trackSeconds));
  if (!(Math.abs(seconds(attributes['mediaPresentationDuration']) - length) < 1e-6))
    report(`mediaPresentationDuration is ${attributes['mediaPresentationDuration']}, the video lasts ${length} s`);
  const ids = elementsOf(mpd, 'Representation').map((one) => one.attributes['id']);
  const wanted = [...title.renditions, ...title.audio, ...title.text].map(({ id }) => id);
  if (title.images.trickplay !== undefined) wanted.push('thumbnails');
  if (ids.toSorted().join() !== wanted.toSorted().join()) report(`Representations ${ids.join()}, not ${wanted.join()}`);
  const sets = elementsOf(mpd, 'AdaptationSet');
  const setIds = sets.map((set) => set.attributes['id']);
  if (new Set(setIds).size < setIds.length || setIds.includes(undefined)) report('AdaptationSet@id is not unique');
  for (const set of sets) checkSwitching(set, setIds, report);
  for (const set of sets) {
    for (const representation of elementsOf(set, 'Representation')) {
      const kind = set.attributes['contentType'];
      if (kind === 'video' || kind === 'audio') checkRepresentation({ mpd, set, representation }, written, report);
      else if (kind === 'image') checkThumbnails(set, representation, { written, report });
      else if (!written.texts.has(elementsOf(representation, 'BaseURL')[0]?.text ?? ''))
        report('text that is not there');
    }
  }
}

function checkSwitching(set: Element, ids: readonly (string | undefined)[], report: Report): void {
  for (const { attributes } of elementsOf(set, 'SupplementalProperty')) {
    if (attributes['schemeIdUri'] !== 'urn:mpeg:dash:adaptation-set-switching:2016') continue;
    const unknown = attributes['value']?.split(',').filter((id) => !ids.includes(id) || id === set.attributes['id']);
    if (unknown?.length !== 0) report(`${set.attributes['id']} switches to ${unknown?.join()}`);
  }
}

type Place = { readonly mpd: Element; readonly set: Element; readonly representation: Element };

/** URLs and durations (ticks) that a player would compute; the template's $Number$ and the timeline's r spelt out. */
function expand(
  template: Element,
  id: string,
): { readonly urls: readonly string[]; readonly starts: readonly number[]; readonly ticks: readonly number[] } {
  const { media = '', startNumber = '1' } = template.attributes;
  const starts: number[] = [];
  const ticks: number[] = [];
  let next = 0;
  for (const { attributes } of elementsOf(template, 'S')) {
    next = attributes['t'] === undefined ? next : Number(attributes['t']);
    for (let repeats = Number(attributes['r'] ?? 0); repeats >= 0; repeats -= 1) {
      starts.push(next);
      ticks.push(Number(attributes['d']));
      next += Number(attributes['d']);
    }
  }
  const urls = ticks.map((_, at) =>
    media
      .replace('$RepresentationID$', id)
      .replace(/\$Number%0(\d+)d\$/, (_all, width: string) =>
        String(Number(startNumber) + at).padStart(Number(width), '0'),
      ),
  );
  return { urls, starts, ticks };
}

function checkRepresentation({ mpd, set, representation }: Place, written: Written, report: Report): void {
  const { title, facts } = written;
  const { id = '', codecs, bandwidth } = representation.attributes;
  const track = [...title.renditions, ...title.audio].find((one) => one.id === id);
  const [template] = elementsOf(set, 'SegmentTemplate');
  if (track === undefined || template === undefined) {
    report(`Representation ${id} without track or template`);
    return;
  }
  if (codecs !== written.codecs.get(id))
    report(`${id}: codecs ${codecs}, its init segment says ${written.codecs.get(id)}`);
  if (template.attributes['initialization']?.replace('$RepresentationID$', id) !== track.initUrl)
    report(`${id}: initialization`);
  if (Number(template.attributes['timescale']) !== track.timescale) report(`${id}: timescale`);
  const { urls, starts, ticks } = expand(template, id);
  if (urls.join() !== track.segments.map(({ url }) => url).join()) report(`${id}: not title.json's segments in order`);
  for (const [at, url] of urls.entries()) {
    const found = facts.get(url);
    if (found?.baseTicks === starts[at] && found?.ticks === ticks[at]) continue;
    report(`${id}: ${url} is said to be at ${starts[at]} for ${ticks[at]} ticks`);
  }
  const timed = measured(urls, facts, 'bytes');
  if (timed === undefined) {
    report(`${id}: a segment is not in the package`);
    return;
  }
  const told = Number(bandwidth);
  const peak = peakBandwidthBps(timed, titleTargetSeconds([...title.renditions, ...title.audio]));
  if (!(told >= Math.max(peak, averageBandwidthBps(timed)) && told <= peak + 2))
    report(`${id}: bandwidth ${told}, not ${peak}`);
  const buffer = minimumBufferSeconds(timed, told);
  if (!(seconds(mpd.attributes['minBufferTime']) >= buffer))
    report(`${id}: needs ${buffer} s of minBufferTime (5.3.1.2)`);
  const longest = Math.max(...timed.segments.map((segment) => segment.ticks)) / timed.timescale;
  if (!(seconds(mpd.attributes['maxSegmentDuration']) >= longest - 1e-6)) report(`${id}: maxSegmentDuration`);
  if (set.attributes['segmentAlignment'] !== 'true' || set.attributes['startWithSAP'] !== '1')
    report(`${id}: not aligned`);
  if ('height' in track) checkPicture(representation, track, report);
}

function checkPicture(representation: Element, track: Written['title']['renditions'][number], report: Report): void {
  const { width, height, frameRate = '' } = representation.attributes;
  if (Number(width) !== track.width || Number(height) !== track.height) report(`${track.id}: width and height`);
  const [num, den = 1] = frameRate.split('/').map(Number);
  if (!(Math.abs((num ?? 0) / den - track.frameRate) < 0.001)) report(`${track.id}: frameRate ${frameRate}`);
}

type Context = { readonly written: Written; readonly report: Report };

function checkThumbnails(set: Element, representation: Element, { written, report }: Context): void {
  const { trickplay } = written.title.images;
  const [template] = elementsOf(set, 'SegmentTemplate');
  if (trickplay === undefined || template === undefined) {
    report('thumbnails without sheets');
    return;
  }
  const { columns, rows, width, height, secondsEach, sheets } = trickplay;
  const { attributes } = representation;
  const layout = elementsOf(representation, 'EssentialProperty')[0]?.attributes['value'];
  if (layout !== `${columns}x${rows}`) report(`thumbnails laid out ${layout}`);
  if (Number(attributes['width']) !== width * columns || Number(attributes['height']) !== height * rows)
    report('thumbnails: width and height are those of a sheet');
  const { media = '', startNumber, duration, timescale } = template.attributes;
  const sheetSeconds = Number(duration) / Number(timescale);
  if (!(Math.abs(sheetSeconds - secondsEach * columns * rows) < 1e-3)) report(`a sheet lasts ${sheetSeconds} s`);
  for (const [at, { url, bytes }] of sheets.entries()) {
    const number = String(Number(startNumber) + at);
    const named = media.replace(/\$Number%0(\d+)d\$/, (_all, digits: string) => number.padStart(Number(digits), '0'));
    if (named !== url || !written.sizes.has(url)) report(`sheet ${named} is not there`);
    if (Number(attributes['bandwidth']) < (bytes * 8) / sheetSeconds) report('thumbnails: bandwidth');
  }
}
