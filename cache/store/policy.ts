// Which object leaves a full disk: the interface of eviction policies, and least recently used. Pure.

/** Decides who leaves. It hears of every object that may be evicted; pinned ones are never entered. */
export type EvictionPolicy = {
  /** An object came, or may be evicted from now on. */
  readonly enter: (id: number, bytes: number) => void;
  /** It was used. Unknown ids are ignored. */
  readonly touch: (id: number) => void;
  /** It left, by whatever cause, or may not be evicted any more. */
  readonly leave: (id: number) => void;
  /** Who should leave next; the same answer until somebody leaves, is touched or enters. Undefined: nobody may. */
  readonly victim: () => number | undefined;
};

/** Least recently used; a Map keeps the order of insertion, so the first is the oldest. */
export function leastRecentlyUsed(): EvictionPolicy {
  const sizes = new Map<number, number>();
  return {
    enter: (id, bytes) => {
      sizes.delete(id);
      sizes.set(id, bytes);
    },
    touch: (id) => {
      const bytes = sizes.get(id);
      if (bytes === undefined) return;
      sizes.delete(id);
      sizes.set(id, bytes);
    },
    leave: (id) => {
      sizes.delete(id);
    },
    victim: () => sizes.keys().next().value,
  };
}
