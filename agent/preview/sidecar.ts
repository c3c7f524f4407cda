// What an operator says of a title's preview, in a file beside its package pointer: titles/ID/preview.json. Pure.

/** A stretch of the title in seconds. */
export type Span = { readonly startSeconds: number; readonly endSeconds: number };

/** What the file says. */
export type Overrides = {
  /** The operator's own cut, the arm `editor`; absent: none. */
  readonly cut?: readonly Span[] | undefined;
  /** True: it is the only one. */
  readonly isOnly: boolean;
  /** Never shown. */
  readonly exclude: readonly Span[];
  /** May be shown although it lies at the end of the title. */
  readonly allow: readonly Span[];
  /** Poster candidates that are never shown, by their id. */
  readonly withoutArtwork: readonly string[];
};

/** A title of which nobody said anything. */
export const NO_OVERRIDES: Overrides = { isOnly: false, exclude: [], allow: [], withoutArtwork: [] };

/** Largest file that is read, bytes, and most entries of a list. */
export const MAX_SIDECAR_BYTES = 64 * 1024;
const MOST_ENTRIES = 100;
const KEYS = ['version', 'cut', 'only', 'exclude', 'allow', 'withoutArtwork'];

/**
 * Reads the text of a preview.json: `{ "version": 1, "cut": [{ "startSeconds", "endSeconds" }], "only": false,
 * "exclude": [...], "allow": [...], "withoutArtwork": ["shot-4"] }`, all but version optional. Throws TypeError or
 * SyntaxError with what is wrong: an operator's mistake must be seen, not guessed around.
 */
export function parseSidecar(text: string): Overrides {
  const read: unknown = JSON.parse(text);
  if (!isRecord(read) || read['version'] !== 1) throw new TypeError('preview.json: "version" must be 1');
  const unknown = Object.keys(read).find((key) => !KEYS.includes(key));
  if (unknown !== undefined) throw new TypeError(`preview.json: unknown key "${unknown}"`);
  const { cut, only, exclude, allow, withoutArtwork } = read;
  if (only !== undefined && typeof only !== 'boolean')
    throw new TypeError('preview.json: "only" must be true or false');
  return {
    ...(cut === undefined ? {} : { cut: spansOf('cut', cut) }),
    isOnly: only === true,
    exclude: spansOf('exclude', exclude ?? []),
    allow: spansOf('allow', allow ?? []),
    withoutArtwork: listOf('withoutArtwork', withoutArtwork ?? []).map((id) => {
      if (typeof id !== 'string') throw new TypeError('preview.json: "withoutArtwork" is a list of ids');
      return id;
    }),
  };
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function listOf(key: string, value: unknown): readonly unknown[] {
  if (!Array.isArray(value) || value.length > MOST_ENTRIES)
    throw new TypeError(`preview.json: "${key}" is a list of at most ${MOST_ENTRIES}`);
  return value;
}

function spansOf(key: string, value: unknown): readonly Span[] {
  return listOf(key, value).map((one) => {
    const { startSeconds, endSeconds } = isRecord(one) ? one : {};
    if (typeof startSeconds !== 'number' || typeof endSeconds !== 'number' || !(startSeconds >= 0))
      throw new TypeError(`preview.json: "${key}" has entries of "startSeconds" and "endSeconds"`);
    if (!(endSeconds > startSeconds)) throw new TypeError(`preview.json: "${key}": an end before its start`);
    return { startSeconds, endSeconds };
  });
}
