/**
 * The user's newest payments before X, one by one: what they were worth, how far apart they came, and how X stands
 * among them. Read from the user's window; nothing is held beside it.
 */
import { RecentEvents, type WindowTable } from "../../runtime/kernel/windows/window_table.ts";

/** Payments looked at, the newest ones of the last 30 days. */
export const RECENT_HELD = 32;
/** Of the k newest payments (the newest aside) amount and gap are told, k = 2..RECENT_BACK. */
export const RECENT_BACK = 7;
/** Payments of the trend, and how many must be there for one. */
const TREND = 3;
export const RECENT_COLUMNS = 2 * (RECENT_BACK - 1) + 6;

const recent = new RecentEvents(RECENT_HELD);

/**
 * Writes RECENT_COLUMNS columns of the payment of `amount` (base minor units, NaN without a rate) at `timeUs` with the
 * merchant's code, which is appended already, to matrix m from `at` on. Missing: NaN.
 */
export function recentColumns(
  windows: WindowTable,
  slot: number,
  timeUs: number,
  fromUs: number,
  amount: number,
  merchant: number,
  m: Float32Array,
  at: number,
): void {
  windows.recent(slot, timeUs, fromUs, recent);
  const { n } = recent;
  for (let k = 2; k <= RECENT_BACK; k++) {
    const isThere = n >= k;
    m[at + k - 2] = isThere ? recent.amount[k - 1] : Number.NaN;
    m[at + RECENT_BACK - 1 + k - 2] = isThere ? (recent.timeUs[k - 2] - recent.timeUs[k - 1]) / 1e6 : Number.NaN;
  }
  among(timeUs, amount, merchant, m, at + 2 * (RECENT_BACK - 1));
}

/** How X stands among them: at this merchant, by amount, and where amounts are going. */
function among(timeUs: number, amount: number, merchant: number, m: Float32Array, at: number): void {
  const { n } = recent;
  let [there, newestThere, smaller, equal, priced, sum, newest] = [0, -1, 0, 0, 0, 0, 0];
  for (let i = 0; i < n; i++) {
    const a = recent.amount[i];
    if (recent.counterparty[i] === merchant && there++ === 0) newestThere = i;
    if (Number.isNaN(a)) continue;
    priced++;
    sum += a;
    if (priced === TREND) newest = sum;
    if (a < amount) smaller++;
    else if (a === amount) equal++;
  }
  const of = newestThere < 0 ? Number.NaN : recent.amount[newestThere];
  m[at] = there;
  m[at + 1] = newestThere < 0 ? Number.NaN : (timeUs - recent.timeUs[newestThere]) / 1e6;
  m[at + 2] = of > 0 ? amount / of : Number.NaN;
  m[at + 3] = priced === 0 || Number.isNaN(amount) ? Number.NaN : smaller / priced;
  m[at + 4] = Number.isNaN(amount) ? Number.NaN : equal;
  m[at + 5] = priced > TREND && sum > 0 ? newest / TREND / (sum / priced) : Number.NaN;
}
