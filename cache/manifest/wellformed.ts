// A look at XML in linear time before the real parser sees it: unclosed elements take that one quadratic time, ten
// minutes for 300 kB, and every fault it meets it writes to the console.
import { UnusableManifest } from './manifest.ts';

/** An MPD needs about seven levels. */
const MAX_DEPTH = 32;

const COMMENT = String.raw`<!--[\s\S]*?-->`;
const INSTRUCTION = String.raw`<\?[\s\S]*?\?>`;
const ATTRIBUTE = String.raw`\s+[\w:.-]+\s*=\s*(?:"[^"<]*"|'[^'<]*')`;
/** One piece of markup with the text before it; groups: slash of an end tag, name, slash of an empty element. */
const MARKUP = String.raw`[^<]*(?:${COMMENT}|${INSTRUCTION}|<(/?)([\w:.-]+)(?:${ATTRIBUTE})*\s*(/?)>)`;

/** Throws UnusableManifest unless every element is closed in order, none is too deep, and there is no doctype or CDATA. */
export function requireWellFormed(xml: string): void {
  if (/&(?!(?:amp|lt|gt|quot|apos|#\d+|#x[\da-f]+);)/i.test(xml)) throw new UnusableManifest('it has unknown entities');
  const markup = new RegExp(MARKUP, 'y');
  const open: string[] = [];
  let elements = 0;
  while (xml.indexOf('<', markup.lastIndex) >= 0) {
    const found = markup.exec(xml);
    if (found === null) throw new UnusableManifest('it is not well-formed XML');
    const [, end, name, empty] = found;
    if (name === undefined) continue;
    if (end === '/') {
      if (open.pop() !== name) throw new UnusableManifest('its elements are not closed in order');
      continue;
    }
    if (open.length === 0 && (elements > 0 || name !== 'MPD')) throw new UnusableManifest('its one root is not MPD');
    elements += 1;
    if (empty !== '/') open.push(name);
    if (open.length > MAX_DEPTH) throw new UnusableManifest('its elements are nested too deep');
  }
  if (open.length > 0 || elements === 0) throw new UnusableManifest('its elements are not closed in order');
  if (xml.slice(markup.lastIndex).trim() !== '') throw new UnusableManifest('it is not well-formed XML');
}
