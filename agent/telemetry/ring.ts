// A bounded queue that is read in turns of the event loop after the one that filled it, so that who writes into it never
// waits and no viewer waits behind its reader.

/** What waits may be so many; a power of two. */
const RING_SIZE = 8192;
/** How long one turn of the event loop reads, so that no viewer waits behind it for longer. */
const READ_FOR_MS = 2;

/** An open ring. `push` gives false, and keeps nothing, when it is full or closed. */
export type Ring<T> = { readonly push: (item: T) => boolean; readonly close: () => void };

/** Opens a ring; closing reads what waits. */
export function openRing<T extends object>(read: (item: T) => void): Ring<T> {
  const slots = new Array<T | undefined>(RING_SIZE);
  let head = 0;
  let tail = 0;
  let isOpen = true;
  let turn: NodeJS.Immediate | undefined;
  const readUntil = (deadline: number): void => {
    while (head < tail) {
      const item = slots[head % RING_SIZE];
      slots[head % RING_SIZE] = undefined;
      head += 1;
      if (item !== undefined) read(item);
      if (performance.now() >= deadline) return;
    }
  };
  const schedule = (): void => {
    turn ??= setImmediate(() => {
      turn = undefined;
      readUntil(performance.now() + READ_FOR_MS);
      if (head < tail) schedule();
    });
  };
  return {
    push: (item) => {
      if (!isOpen || tail - head >= RING_SIZE) return false;
      slots[tail % RING_SIZE] = item;
      tail += 1;
      schedule();
      return true;
    },
    close: () => {
      isOpen = false;
      clearImmediate(turn);
      readUntil(Number.POSITIVE_INFINITY);
    },
  };
}
