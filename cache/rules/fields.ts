// Header fields as lists of pairs: reading them, splitting lists, and removing what belongs to one hop only.

/** Header fields in the order received, names in lower case. */
export type Fields = readonly (readonly [name: string, value: string])[];

/** Every value of a field, one per line. */
export function fieldLines(fields: Fields, name: string): readonly string[] {
  const values: string[] = [];
  for (const field of fields) if (field[0] === name) values.push(field[1]);
  return values;
}

/** The field's lines joined as one list (RFC 9110 section 5.3); undefined when it is absent. */
export function fieldValue(fields: Fields, name: string): string | undefined {
  const values = fieldLines(fields, name);
  return values.length === 0 ? undefined : values.join(', ');
}

/** Elements of a comma-separated list, trimmed, empty ones left out, commas in quoted strings kept (RFC 9110 section 5.6.1). */
export function splitList(value: string): readonly string[] {
  if (!value.includes(',')) {
    const only = value.trim();
    return only === '' ? [] : [only];
  }
  const elements: string[] = [];
  let element = '';
  let isQuoted = false;
  for (let index = 0; index < value.length; index += 1) {
    const char = value.charAt(index);
    if (char === ',' && !isQuoted) {
      elements.push(element.trim());
      element = '';
      continue;
    }
    if (char === '"') isQuoted = !isQuoted;
    element += char;
    if (char === '\\' && isQuoted && index + 1 < value.length) {
      index += 1;
      element += value.charAt(index);
    }
  }
  elements.push(element.trim());
  return elements.filter((each) => each !== '');
}

/** A quoted string's content, its escapes resolved; text that is no quoted string comes back as it is. */
export function unquote(text: string): string {
  if (text.length < 2 || !text.startsWith('"') || !text.endsWith('"')) return text;
  return text.slice(1, -1).replace(/\\(.)/g, '$1');
}

/** Fields of one connection (RFC 9110 section 7.6.1) and those of a proxy itself (RFC 9111 section 3.1). */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** The fields that go beyond this hop: without the hop-by-hop ones and those that Connection names. */
export function endToEnd(fields: Fields): Fields {
  const named = fieldValue(fields, 'connection');
  const listed = named === undefined ? undefined : new Set(splitList(named.toLowerCase()));
  return fields.filter(([name]) => !HOP_BY_HOP.has(name) && listed?.has(name) !== true);
}

/** Pairs from Node's and undici's flat lists of names and values. */
export function fieldsOf(flat: readonly string[]): Fields {
  const fields: [string, string][] = [];
  for (let index = 0; index + 1 < flat.length; index += 2) {
    fields.push([(flat[index] ?? '').toLowerCase(), flat[index + 1] ?? '']);
  }
  return fields;
}

/** The links of one Link line, each for itself (RFC 8288 section 3): split at commas outside of <> and quotes. */
export function splitLinks(line: string): readonly string[] {
  return (
    line
      .match(/(?:<[^>]*>|"(?:[^"\\]|\\.)*"|[^,<"])+|[<"].*$/g)
      ?.map((link) => link.trim())
      .filter((link) => link !== '') ?? []
  );
}
