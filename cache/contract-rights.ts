// Who may do what, in types: signed URLs of a host, and what a purge or a pin is of.

/** Signed URLs of a host: without a good token its answer is 403. */
export type Signing = {
  /** hmac: tokens of this server's own kind; cat: Common Access Tokens (CTA-5007), signed by HMAC 256/256. */
  readonly scheme: 'hmac' | 'cat';
  /** All are good, so that one can take over from another. Secrets of at least 16 bytes. */
  readonly keys: readonly { readonly id: string; readonly secret: Uint8Array }[];
  /** hmac: query parameter and cookie that carry the token. Default `token`. */
  readonly name?: string;
  /** `/_t/`: the token may also stand in the path, `/_t/TOKEN/titles/...`; absent or null: it may not. */
  readonly pathPrefix?: string | null;
  /** Beginnings of paths that need no token. */
  readonly exempt?: readonly string[];
  /** How far clocks may be apart. Default 30. */
  readonly clockSkewSeconds?: number;
  /** cat: the only issuer that is taken; absent or null: any whose signature is good. */
  readonly issuer?: string | null;
  /** cat: who this host is; tokens that name others are refused. */
  readonly audience?: readonly string[];
};

/**
 * What to remove: a URL, all below a prefix, all with a tag (Cache-Tag, Surrogate-Key) or of a group (Cache-Groups, RFC
 * 9875). `soft` keeps the objects as stale, to be revalidated. `onProgress` hears how many it were so far.
 */
export type PurgeSelector = (
  | { readonly url: string }
  | { readonly prefix: string }
  | { readonly tag: string }
  | { readonly group: string }
) & {
  readonly soft?: boolean;
  /** Of a tag or group: only what this host has; a URL or prefix names its host itself. */
  readonly host?: string;
  readonly onProgress?: (objects: number) => void;
};

/** What a purge did: objects removed or marked, and fills under way that will not be stored. */
export type PurgeResult = { readonly objects: number; readonly fills: number };

/** What to pin or unpin. */
export type PinSelector = { readonly url: string } | { readonly prefix: string };
