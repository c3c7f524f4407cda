// Slows a fetch that no viewer waits for: to its cap, behind whoever is more urgent, and to what answering viewers leaves over.

/** How often a background fetch looks whether somebody more urgent is still being served. */
const YIELD_MS = 100;
/** What it takes meanwhile: little, yet its connection stays alive. */
const YIELDING_BYTES_PER_SECOND = 32 * 1024;

/** What a pace asks and tells. */
export type PaceHooks = {
  readonly isOutranked: () => boolean;
  /** Hears of bytes; gives the time (performance.now) before which no more should come. */
  readonly spare: (bytes: number) => number;
  readonly onPause: () => void;
  readonly onResume: () => void;
};

/** The pace of one fetch. */
export class Pace {
  /** Bytes a second; Infinity: no cap. */
  bytesPerSecond = Number.POSITIVE_INFINITY;
  readonly #hooks: PaceHooks;
  #timer: NodeJS.Timeout | undefined;
  #cappedUntil = 0;
  #yieldsUntil = 0;
  #spareAt = 0;

  constructor(hooks: PaceHooks) {
    this.#hooks = hooks;
  }

  get isWaiting(): boolean {
    return this.#timer !== undefined;
  }

  /** So many bytes came. */
  took(count: number): void {
    const now = performance.now();
    this.#cappedUntil = Math.max(this.#cappedUntil, now) + (count / this.bytesPerSecond) * 1000;
    this.#spareAt = this.#hooks.spare(count);
    this.#yieldsUntil = now + (count / YIELDING_BYTES_PER_SECOND) * 1000;
    if (this.#timer === undefined && this.#waitMs() >= 1) {
      this.#hooks.onPause();
      this.#awaitTurn();
    }
  }

  /** Goes on at once. */
  release(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#hooks.onResume();
  }

  /** Nothing more will come. */
  stop(): void {
    clearTimeout(this.#timer);
  }

  #waitMs(): number {
    const ownUntil = Math.max(this.#cappedUntil, this.#spareAt);
    const until = this.#hooks.isOutranked() ? Math.max(ownUntil, this.#yieldsUntil) : ownUntil;
    return until - performance.now();
  }

  #awaitTurn(): void {
    const waitMs = this.#waitMs();
    if (waitMs < 1) this.release();
    else this.#timer = setTimeout(() => this.#awaitTurn(), Math.min(waitMs, YIELD_MS));
  }
}
