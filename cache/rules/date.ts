// HTTP dates (RFC 9110 section 5.6.7): the preferred form and the two obsolete ones; anything else is no date.

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const TIME = '(\\d{2}):(\\d{2}):(\\d{2})';
const IMF = new RegExp(`^[a-z]{3}, (\\d{2}) ([a-z]{3}) (\\d{4}) ${TIME} gmt$`, 'i');
const RFC850 = new RegExp(`^[a-z]{6,9}, (\\d{2})-([a-z]{3})-(\\d{2}) ${TIME} gmt$`, 'i');
const ASCTIME = new RegExp(`^[a-z]{3} ([a-z]{3}) ([ \\d]\\d) ${TIME} (\\d{4})$`, 'i');

type Parts = { readonly day: string; readonly month: string; readonly year: number; readonly time: readonly string[] };

function partsOf(text: string, nowMs: number): Parts | undefined {
  const imf = IMF.exec(text);
  if (imf !== null) return { day: imf[1] ?? '', month: imf[2] ?? '', year: Number(imf[3]), time: imf.slice(4, 7) };
  const rfc850 = RFC850.exec(text);
  if (rfc850 !== null) {
    const current = new Date(nowMs).getUTCFullYear();
    const year = Math.floor(current / 100) * 100 + Number(rfc850[3]);
    // A two-digit year more than 50 years ahead is the most recent past one with these digits.
    return {
      day: rfc850[1] ?? '',
      month: rfc850[2] ?? '',
      year: year > current + 50 ? year - 100 : year,
      time: rfc850.slice(4, 7),
    };
  }
  const asctime = ASCTIME.exec(text);
  if (asctime === null) return undefined;
  return { month: asctime[1] ?? '', day: asctime[2] ?? '', time: asctime.slice(3, 6), year: Number(asctime[6]) };
}

/** Milliseconds since the epoch, or undefined when the text is no HTTP date. `nowMs` settles two-digit years. */
export function parseHttpDate(text: string, nowMs: number): number | undefined {
  const parts = partsOf(text.trim(), nowMs);
  if (parts === undefined) return undefined;
  const month = MONTHS.indexOf(parts.month.toLowerCase());
  const [hour = 99, minute = 99, second = 99] = parts.time.map(Number);
  const day = Number(parts.day);
  if (month < 0 || hour > 23 || minute > 59 || second > 60) return undefined;
  const time = Date.UTC(parts.year, month, day, hour, minute, second);
  return new Date(time).getUTCDate() === day || second === 60 ? time : undefined;
}
