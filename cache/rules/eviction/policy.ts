// Eviction policies: the signature that each of them has, for the disk tier and for the simulator alike.

/**
 * Decides who leaves. Objects are slots: small integers from 0, dense, since policies keep typed arrays over them. A
 * policy knows no limit; whoever has one calls evict() until there is room.
 */
export type EvictionPolicy = {
  /**
   * Before room is made for an object that is out; arguments as of enter(). False: let it pass by. Every miss is told of
   * here, every hit in touch(). Only policies have it that learn from misses or know the future; the disk calls it not.
   */
  readonly admits?: (slot: number, bytes: number, key: number) => boolean;
  /**
   * An object came into a slot that is out. `key` is a 32-bit integer that stays the same when the object comes again
   * in another slot; policies that remember who left remember it.
   */
  readonly enter: (slot: number, bytes: number, key: number) => void;
  /** It was used. A slot that is out is ignored. */
  readonly touch: (slot: number) => void;
  /** It left for another reason than eviction, and is not remembered. A slot that is out is ignored. */
  readonly leave: (slot: number) => void;
  /** Takes out who should leave next and gives its slot; -1 when nobody is in. */
  readonly evict: () => number;
};
