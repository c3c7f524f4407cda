// One viewer's place in a running fill: which bytes it wants, and how far it has come.
import type { CacheError } from '../errors.ts';
import type { KeptHead } from '../fill/fill-head.ts';
import type { FillWindow } from '../fill/window.ts';
import type { Interim } from '../origin/exchange.ts';
import type { Fields } from '../rules/fields.ts';
import type { Unsliceable } from '../slices/part-head.ts';
import type { Sliced } from '../slices/sliced.ts';
import type { StoredObject } from '../store/object.ts';

/** What became known when the origin's head came. */
export type FillHead =
  | ({ readonly outcome: 'response' } & KeptHead)
  /** The stored response still holds. */
  | { readonly outcome: 'confirmed'; readonly object: StoredObject }
  /** Blocks of an object, of which others may be stored. */
  | { readonly outcome: 'slices'; readonly sliced: Sliced; readonly isStored: boolean }
  /** A part that cannot be combined with others. */
  | Unsliceable
  /** The object has no such bytes. */
  | { readonly outcome: 'unsatisfiable'; readonly total: number | undefined };

/** What a viewer hears of its fill; each at most once but onInterim and onReady. */
export type Listener = {
  /** Before the head. */
  readonly onInterim?: (interim: Interim) => void;
  readonly onHead: (head: FillHead, reader: FillReader) => void;
  /** More bytes, or the end. */
  readonly onReady: (reader: FillReader) => void;
  /** This answer is for another only (private, another variant): ask for an own one. */
  readonly onUnshared: () => void;
  /** The window has moved past this reader: it goes on by itself from its offset. */
  readonly onBehind: (reader: FillReader) => void;
  readonly onError: (error: CacheError) => void;
};

/** What a reader needs of its fill. */
export type Source = {
  readonly window: FillWindow;
  readonly isComplete: boolean;
  readonly balance: () => void;
  readonly leave: (reader: FillReader) => void;
};

/** One viewer's place in a fill. */
export class FillReader {
  offset = 0;
  limit = Number.POSITIVE_INFINITY;
  readonly fields: Fields;
  readonly listener: Listener;
  /** Somebody else had started the fill. */
  readonly isCollapsed: boolean;
  readonly #fill: Source;

  constructor(fill: Source, fields: Fields, listener: Listener, isCollapsed: boolean) {
    this.isCollapsed = isCollapsed;
    this.#fill = fill;
    this.fields = fields;
    this.listener = listener;
  }

  /** Chooses the half-open range to read; once, at the head. */
  select(start: number, end: number): void {
    this.offset = start;
    this.limit = end;
  }

  /** The next bytes, or undefined when none have come. */
  pull(): Buffer | undefined {
    const bytes = this.#fill.window.read(this.offset, this.limit);
    if (bytes === undefined) return undefined;
    this.offset += bytes.length;
    return bytes;
  }

  /** Everything that was selected has been pulled. */
  isAtEnd(): boolean {
    return this.offset >= this.limit || (this.#fill.isComplete && this.offset >= this.#fill.window.end);
  }

  /** Says that pulled bytes may go, so that the fill goes on. */
  settle(): void {
    this.#fill.balance();
  }

  /** Leaves; the fill goes on if that is worth it. */
  leave(): void {
    this.#fill.leave(this);
  }
}
