// Reads a multipart/byteranges body (RFC 2046 section 5.1, RFC 9110 section 14.6) by its delimiters, for tests.

/** One part as it was received: half-open bytes, the total it names, its fields by lower-case name. */
export type ReadPart = {
  readonly start: number;
  readonly end: number;
  readonly total: number;
  readonly fields: ReadonlyMap<string, string>;
  readonly bytes: Buffer;
};

/** The parts of a body. Throws when it is not well-formed. */
export function readMultipart(contentType: string, body: Buffer): readonly ReadPart[] {
  const boundary = /^multipart\/byteranges; boundary=([\w-]{1,70})$/.exec(contentType)?.[1];
  if (boundary === undefined) throw new Error(`no boundary in "${contentType}"`);
  const pieces = `\r\n${body.toString('latin1')}`.split(`\r\n--${boundary}`);
  if (pieces.shift() !== '' || pieces.pop() !== '--\r\n') throw new Error('not framed by its boundary');
  return pieces.map((piece) => {
    const gap = piece.indexOf('\r\n\r\n');
    if (!piece.startsWith('\r\n') || gap < 0) throw new Error('a part without head');
    const lines = piece
      .slice(2, gap)
      .split('\r\n')
      .map(
        (line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()] as const,
      );
    const fields = new Map(lines);
    const [, first, last, total] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(fields.get('content-range') ?? '') ?? [];
    const bytes = Buffer.from(piece.slice(gap + 4), 'latin1');
    return { start: Number(first), end: Number(last) + 1, total: Number(total), fields, bytes };
  });
}
