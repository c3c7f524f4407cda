// Reads the XML that an MPD is written in: elements, attributes and text; no entities beyond the five, no DTD, no CDATA.

/** The text is not such XML; `message` says where. */
export class XmlError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'XmlError';
  }
}

/** One element. */
export type Element = {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: readonly Element[];
  /** Its own character data, trimmed. */
  readonly text: string;
};

type Open = { name: string; attributes: Record<string, string>; children: Element[]; text: string };

const TOKEN = /<\?xml [^?]*\?>|<(\/?)([A-Za-z][\w:.-]*)((?:\s+[\w:.-]+="[^"<]*")*)\s*(\/?)>|([^<]+)/gy;
const ENTITY: Readonly<Record<string, string>> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' };

function plain(text: string): string {
  return text.replace(/&([^;]*);?/g, (_, name: string) => {
    const character = ENTITY[name];
    if (character === undefined) throw new XmlError(`entity ${JSON.stringify(name.slice(0, 20))}`);
    return character;
  });
}

/** The root element. Throws XmlError. */
export function readXml(text: string): Element {
  const root: Open = { name: '', attributes: {}, children: [], text: '' };
  const open: Open[] = [root];
  let end = 0;
  for (const match of text.matchAll(TOKEN)) {
    end = match.index + match[0].length;
    const [, closing, name, attributes = '', empty, characters] = match;
    const parent = open.at(-1) ?? root;
    if (characters !== undefined) {
      parent.text = (parent.text + plain(characters)).trim();
    } else if (closing === '/') {
      if (name !== parent.name || open.length === 1) throw new XmlError(`</${name}> closes <${parent.name}>`);
      open.pop();
    } else if (name !== undefined) {
      const element: Open = { name, attributes: readAttributes(attributes), children: [], text: '' };
      parent.children.push(element);
      if (empty !== '/') open.push(element);
    }
  }
  if (end !== text.length) throw new XmlError(`at ${JSON.stringify(text.slice(end, end + 40))}`);
  const [only] = root.children;
  if (open.length > 1 || only === undefined || root.children.length > 1 || root.text !== '') {
    throw new XmlError('not exactly one whole root element');
  }
  return only;
}

function readAttributes(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [, name = '', value = ''] of text.matchAll(/([\w:.-]+)="([^"]*)"/g)) {
    if (name in found) throw new XmlError(`attribute ${name} twice`);
    found[name] = plain(value);
  }
  return found;
}

/** All elements of that name below, in order. */
export function elementsOf(element: Element, name: string): readonly Element[] {
  return element.children.flatMap((child) => [...(child.name === name ? [child] : []), ...elementsOf(child, name)]);
}
