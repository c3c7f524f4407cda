// The key of a request: its target without what belongs to one viewer (CMCD, ignored parameters).

/** A request's target, taken apart. */
export type Target = {
  /** Path without query. */
  readonly path: string;
  /** Path and query that enter the key and go to the origin. */
  readonly resource: string;
  /** The undecoded value of the CMCD query parameter (CTA-5004). */
  readonly cmcd: string | undefined;
};

const CMCD = 'CMCD';

function nameOf(pair: string): string {
  const equals = pair.indexOf('=');
  const raw = equals < 0 ? pair : pair.slice(0, equals);
  if (!raw.includes('%') && !raw.includes('+')) return raw;
  try {
    return decodeURIComponent(raw.replaceAll('+', ' '));
  } catch {
    return raw; // A broken escape stays part of the name: it then equals no ignored one.
  }
}

/** Takes an origin-form target apart; the order of the remaining parameters stays as it came. */
export function targetOf(url: string, ignored: ReadonlySet<string>): Target {
  const question = url.indexOf('?');
  if (question < 0) return { path: url, resource: url, cmcd: undefined };
  const path = url.slice(0, question);
  let cmcd: string | undefined;
  const kept = url
    .slice(question + 1)
    .split('&')
    .filter((pair) => {
      const name = nameOf(pair);
      if (name === CMCD) cmcd ??= pair.slice(pair.indexOf('=') + 1);
      return name !== CMCD && !ignored.has(name);
    })
    .join('&');
  return { path, resource: kept === '' ? path : `${path}?${kept}`, cmcd };
}

/** The primary key (RFC 9111 section 2): origin and resource; the method is always GET. */
export function keyOf(originName: string, resource: string): string {
  return `${originName} ${resource}`;
}

/** The resource part of a key. */
export function resourceOf(key: string): string {
  return key.slice(key.indexOf(' ') + 1);
}

/** The first origin whose `match` is a prefix of the path. */
export function originFor<T extends { readonly match: string }>(origins: readonly T[], path: string): T | undefined {
  return origins.find(({ match }) => path.startsWith(match));
}
