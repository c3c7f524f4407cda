// The report of a title as one HTML page: no script, no other file, readable in light and dark, on paper and aloud.

import { bits, clock } from './chart.ts';
import type { TitleReport } from './facts.ts';
import { escapeHtml, section } from './html.ts';
import { hullSection } from './hulls.ts';
import { ladderSection, timeSection } from './sections.ts';
import { STYLE } from './style.ts';

/** Nothing but the page's own style may load, whatever a name holds. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/** The whole page. */
export function writePage(report: TitleReport): string {
  const { name, hash } = report;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="${escapeHtml(POLICY)}">
<title>${escapeHtml(name)}: how it was encoded</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<p class="kicker">Encode report</p>
<h1>${escapeHtml(name)}</h1>
<p class="lead">${describe(report)}</p>
</header>
<main>
${tiles(report)}
${savings(report)}
${ladderSection(report)}
${timeSection(report)}
${hullSection(report)}
${cost(report)}
${notes(report)}
</main>
<footer><p>Package <code>${escapeHtml(hash.slice(0, 16))}</code>, made with ${tools(report)}. The figures behind every chart are in <a href="report.json">report.json</a>.</p></footer>
</body>
</html>
`;
}

function tools({ tools: used }: TitleReport): string {
  return escapeHtml(
    Object.entries(used)
      .map(([program, version]) => `${program} ${version}`)
      .join(', '),
  );
}

function describe({ source, durationSeconds, parts, metric }: TitleReport): string {
  const size = `${source.width}×${source.height}`;
  const rate = Number(source.frameRate.toFixed(3));
  const shots = new Set(parts.map(({ shot }) => shot)).size;
  const quality = metric.name === 'vmaf' ? `VMAF (${metric.model})` : metric.name.toUpperCase();
  const text = `${clock(durationSeconds)}, ${size} at ${rate} frames a second (${source.codec} ${source.class}), ${shots} shots, quality in ${quality}`;
  return escapeHtml(text);
}

const percent = (ratio: number): string => `${(ratio * 100).toFixed(1)} %`;

function tile(label: string, value: string, more: string): string {
  return `<div class="tile"><dt>${label}</dt><dd>${value}<small>${more}</small></dd></div>`;
}

function tiles({ renditions, savings: saved, cost: paid, durationSeconds, trials }: TitleReport): string {
  const total = renditions.reduce((sum, { averageBandwidthBps }) => sum + averageBandwidthBps, 0);
  const best = renditions.reduce((most, one) => Math.max(most, one.mean), 0);
  const all = saved.cap + saved.pruning + saved.allocation;
  const kinds = new Set(renditions.map(({ kind }) => kind)).size;
  return `<dl class="tiles">
${saved.referenceBps > 0 ? tile('Delivered bits saved', percent(all), 'against the fixed ladder, same quality') : tile('Delivered bits saved', '–', 'not known: no rung to compare with')}
${tile('Ladder', `${renditions.length}`, `renditions${kinds > 1 ? ` of ${kinds} kinds` : ''}, ${bits(total)}bit/s in all`)}
${tile('Best mean quality', best.toFixed(1), 'over all frames')}
${tile('Trial encodes', `${trials.length}`, 'each one measured')}
${tile('CPU', `${paid.cpuSeconds.toFixed(0)} s`, `${(paid.cpuSeconds / durationSeconds).toFixed(1)} s for a second of video`)}
</dl>`;
}

/** What a session costs on average with the fixed ladder, and where its bits went. */
function savings({ savings: saved }: TitleReport): string {
  if (saved.referenceBps === 0) {
    return section(
      'savings',
      'Savings',
      '<p>No rung of the fixed ladder lies within what was tried, so nothing can be compared.</p>',
    );
  }
  const left = Math.max(0, 1 - saved.cap - saved.pruning - saved.allocation);
  const parts = [
    { name: 'Delivered', ratio: left, kind: 'left', why: 'what viewers still download' },
    { name: 'Allocation', ratio: saved.allocation, kind: 'c1', why: 'bits divided among shots, and the right height' },
    { name: 'Pruning', ratio: saved.pruning, kind: 'c2', why: 'rungs that nobody can tell apart' },
    { name: 'Cap', ratio: saved.cap, kind: 'c3', why: 'quality beyond what is seen' },
  ];
  const bar = parts
    .filter(({ ratio }) => ratio > 0)
    .map(({ ratio, kind }) => `<span class="fill-${kind}" style="flex-grow:${ratio.toFixed(4)}"></span>`)
    .join('');
  const rows = parts
    .map(
      ({ name, ratio, kind, why }) =>
        `<tr><th scope="row"><i class="key fill-${kind}"></i>${name}</th><td class="number">${percent(ratio)}</td><td>${why}</td></tr>`,
    )
    .join('');
  const told = parts.map(({ name, ratio }) => `${name} ${percent(ratio)}`).join(', ');
  return section(
    'savings',
    'Where the bits went',
    `<p>The rungs of the fixed ladder that fit this source add up to ${bits(saved.referenceBps)}bit/s. What viewers of each would see needs ${percent(left)} of that here.</p>
<div class="stack" role="img" aria-label="${told}">${bar}</div>
<table class="plain"><tbody>${rows}</tbody></table>`,
  );
}

function cost({ cost: paid, durationSeconds }: TitleReport): string {
  const names: Readonly<Record<string, string>> = {
    cpuSeconds: 'CPU seconds of ffmpeg in all',
    shots: 'of these to find shots',
    trials: 'of these for trials and their measurement',
    final: 'of these for what ships',
    joules: 'Joules of the machine meanwhile',
  };
  const rows = Object.entries(paid).flatMap(([key, value]) =>
    typeof value === 'number'
      ? [
          `<tr><th scope="row">${escapeHtml(names[key] ?? key)}</th><td class="number">${value.toFixed(1)}</td><td class="number">${(value / durationSeconds).toFixed(2)}</td></tr>`,
        ]
      : [],
  );
  return section(
    'cost',
    'Cost',
    `<table class="plain"><thead><tr><th scope="col"></th><th scope="col" class="number">all</th><th scope="col" class="number">a second of video</th></tr></thead><tbody>${rows.join('')}</tbody></table>
<p class="hint">What an earlier run left in the journal was not paid again, and is not counted.</p>`,
  );
}

function notes({ metric, notes: told = [] }: TitleReport): string {
  const all = [...metric.notes, ...told.map(({ message }) => message)];
  if (metric.subsample > 1) all.push(`Every ${metric.subsample}th frame was scored.`);
  if (all.length === 0) return '';
  return section('notes', 'Notes', `<ul>${all.map((note) => `<li>${escapeHtml(note)}</li>`).join('')}</ul>`);
}
