// Which host a request is for: the name in its authority, made comparable, and the entry of a table that answers to it.

const LABEL = '[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?';
const NAME = new RegExp(`^(\\*|(\\*\\.)?${LABEL}(\\.${LABEL})*|\\[[0-9a-f:.]+\\])$`);
/** The longest name of DNS in text (RFC 1035 section 2.3.4). */
const MAX_NAME = 253;

/**
 * Whether a text is a name that a host may have: a name in lower case without port and last dot (others in A-labels, RFC
 * 5890), `*.` and a name for all below it, an IPv6 address in brackets, or `*` for every other one.
 */
export function isHostPattern(text: string): boolean {
  return text.length <= MAX_NAME && NAME.test(text);
}

/** Whether a text is one name that can be asked for. */
export function isHostName(text: string): boolean {
  return !text.startsWith('*') && isHostPattern(text);
}

/** The name in an authority (RFC 9110 section 4.2.3): lower case, without port and last dot; '' where there is none. */
export function hostName(authority: string | undefined): string {
  if (authority === undefined) return '';
  const name = authority.toLowerCase().replace(/:\d*$/, '');
  return name.endsWith('.') ? name.slice(0, -1) : name;
}

/** The authority of a request: that of an absolute target goes before the Host field (RFC 9112 section 3.2.2). */
export function authorityOf(target: string, host: string | undefined): string | undefined {
  return target.startsWith('/') ? host : (/^https?:\/\/([^/?#]*)/i.exec(target)?.[1] ?? host);
}

/** Entries by the names that they answer to. */
export type HostTable<T> = ReadonlyMap<string, T>;

/** The table of entries with their names. */
export function hostTable<T extends { readonly names: readonly string[] }>(hosts: readonly T[]): HostTable<T> {
  return new Map(hosts.flatMap((host) => host.names.map((name) => [name, host] as const)));
}

/** The entry for a name: that of the name itself, else of the longest `*.` above it, else of `*`. */
export function hostFor<T>(table: HostTable<T>, name: string): T | undefined {
  const exact = name.startsWith('*') ? undefined : table.get(name);
  if (exact !== undefined) return exact;
  for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
    const above = dot > 0 && dot < name.length - 1 ? table.get(`*${name.slice(dot)}`) : undefined;
    if (above !== undefined) return above;
  }
  return table.get('*');
}
