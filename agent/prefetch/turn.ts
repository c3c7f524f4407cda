// Whose turn it is among what is to be fetched ahead in sessions. Pure.

/** What an item's turn depends on; `dueAt` in milliseconds, absent: at once. */
type InTurn = { readonly titleId: string; readonly priority: 'in-session' | 'off-peak'; readonly dueAt?: number };

/** Fills of one title at once: a narrow origin brings what is needed first sooner when it is not shared by what is later. */
const MAX_OF_TITLE = 2;

/** Of in-session items the one that is due first, of titles that have not their share of the fills that run. */
export function nextInTurn<Item extends InTurn>(waiting: Iterable<Item>, running: readonly Item[]): Item | undefined {
  let best: Item | undefined;
  for (const item of waiting) {
    if (best !== undefined && (item.dueAt ?? 0) >= (best.dueAt ?? 0)) continue;
    const own = running.filter(({ titleId, priority }) => priority === 'in-session' && titleId === item.titleId);
    if (own.length < MAX_OF_TITLE) best = item;
  }
  return best;
}
