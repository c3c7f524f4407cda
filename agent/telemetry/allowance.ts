// How much may come in a minute, from one address and from all together. What is known of senders ends with the minute.

/** What openAllowance() needs. */
export type AllowanceOptions = {
  readonly now: () => number;
  readonly maxPerAddressPerMinute: number;
  readonly maxPerMinute: number;
};

/** The allowance of the running minute. */
export type Allowance = {
  /** How many of so many events may pass. */
  readonly admit: (count: number, sender: string) => number;
};

/** Senders of a minute that are told apart; the others share one allowance. */
const MAX_SENDERS = 50_000;

/** Opens an allowance. */
export function openAllowance({ now, maxPerAddressPerMinute, maxPerMinute }: AllowanceOptions): Allowance {
  const senders = new Map<string, number>();
  let minute = 0;
  let used = 0;
  const turn = (): void => {
    const current = Math.floor(now() / 60_000);
    if (current === minute) return;
    minute = current;
    used = 0;
    senders.clear();
  };
  return {
    admit: (count, sender) => {
      turn();
      const name = senders.has(sender) || senders.size < MAX_SENDERS ? sender : '';
      const sent = senders.get(name) ?? 0;
      const admitted = Math.max(0, Math.min(count, maxPerMinute - used, maxPerAddressPerMinute - sent));
      used += admitted;
      senders.set(name, sent + admitted);
      return admitted;
    },
  };
}
