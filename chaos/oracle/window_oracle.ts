/**
 * The independent oracle of the exact windows: a list of events an actor, and for each question a pass over the list
 * with BigInt sums. Slow and obvious on purpose; it imports nothing of what it checks.
 *
 * Contract: events of an actor stand in order of time, equal times in order of arrival. Window W at time t holds the
 * events with t - W < time <= t that are not reversed.
 */

export interface OracleOptions {
  readonly windows_us: readonly number[];
  readonly delayed?: { readonly delay_us: number; readonly windows_us: readonly number[] };
  readonly late_tolerance_us: number;
  readonly late_events_max: number;
}

export interface OracleEvent {
  readonly timeUs: number;
  /** NaN: no amount. */
  readonly amount: number;
  readonly counterparty: number;
  readonly id: string;
  readonly frame: number;
  reversed: boolean;
  fraud: boolean;
}

/** count, sum, mean, standard deviation (population), max, distinct counterparties; float64. */
export type OracleColumns = readonly [number, number, number, number, number, number];

/** Square root of a ratio of non-negative integers, to about 15 digits. */
function sqrtRatio(numerator: bigint, denominator: bigint): number {
  if (numerator === 0n) return 0;
  // Scaled by 2^200 under the root; the root of the scale is 2^100.
  const scaled = (numerator << 200n) / denominator;
  let x = BigInt(Math.floor(Math.sqrt(Number(scaled))));
  for (let i = 0; i < 4; i++) x = (x + scaled / x) / 2n;
  return Number(x) / 2 ** 100;
}

export function oracleColumns(events: readonly OracleEvent[]): OracleColumns {
  const amounts = events.filter((e) => !Number.isNaN(e.amount)).map((e) => BigInt(e.amount));
  const distinct = new Set(events.map((e) => e.counterparty)).size;
  if (amounts.length === 0) return [events.length, 0, Number.NaN, Number.NaN, Number.NaN, distinct];
  const n = BigInt(amounts.length);
  const sum = amounts.reduce((a, b) => a + b, 0n);
  const squares = amounts.reduce((a, b) => a + b * b, 0n);
  const max = Math.max(...events.map((e) => (Number.isNaN(e.amount) ? 0 : e.amount)));
  const std = sqrtRatio(n * squares - sum * sum, n * n);
  return [events.length, Number(sum), Number(sum) / amounts.length, std, max, distinct];
}

export class OracleActor {
  readonly options: OracleOptions;
  readonly events: OracleEvent[] = [];
  firstUs = Number.POSITIVE_INFINITY;
  newestUs = Number.NEGATIVE_INFINITY;

  constructor(options: OracleOptions) {
    this.options = options;
  }

  /** False when the event is too late, which changes nothing. */
  append(e: OracleEvent): boolean {
    if (e.timeUs < this.newestUs) {
      if (this.newestUs - e.timeUs > this.options.late_tolerance_us) return false;
      if (this.events.filter((x) => x.timeUs > e.timeUs).length > this.options.late_events_max) return false;
    }
    const i = this.events.findIndex((x) => x.timeUs > e.timeUs);
    this.events.splice(i < 0 ? this.events.length : i, 0, e);
    this.newestUs = Math.max(this.newestUs, e.timeUs);
    this.firstUs = Math.min(this.firstUs, e.timeUs);
    return true;
  }

  private within(afterUs: number, untilUs: number): OracleEvent[] {
    return this.events.filter((e) => !e.reversed && e.timeUs > afterUs && e.timeUs <= untilUs);
  }

  /** Six columns for each window. */
  query(timeUs: number): OracleColumns[] {
    return this.options.windows_us.map((w) => oracleColumns(this.within(timeUs - w, timeUs)));
  }

  /** Count and share of frauds of each delayed window. */
  queryDelayed(timeUs: number): [number, number][] {
    const d = this.options.delayed;
    if (d === undefined) return [];
    return d.windows_us.map((w) => {
      const events = this.within(timeUs - d.delay_us - w, timeUs - d.delay_us);
      const frauds = events.filter((e) => e.fraud).length;
      return [events.length, events.length === 0 ? 0 : frauds / events.length];
    });
  }

  /** Columns as if the rows had been appended first, in their order. */
  queryPending(
    timeUs: number,
    rows: readonly OracleEvent[],
  ): { columns: OracleColumns[]; delayed: [number, number][] } {
    const copy = new OracleActor(this.options);
    copy.events.push(...this.events);
    copy.newestUs = this.newestUs;
    for (const e of rows) copy.append(e);
    return { columns: copy.query(timeUs), delayed: copy.queryDelayed(timeUs) };
  }

  /** No event of the counterparty before e (in time, then arrival) in the longest window that ends at e. */
  wasNew(e: OracleEvent): boolean {
    const longest = Math.max(...this.options.windows_us);
    const before = this.events.slice(0, this.events.indexOf(e));
    return !before.some((x) => !x.reversed && x.counterparty === e.counterparty && x.timeUs > e.timeUs - longest);
  }

  /** Time of the newest event up to timeUs other than e; -Infinity without. */
  previousUs(timeUs: number, e: OracleEvent): number {
    return Math.max(
      ...this.events.filter((x) => x !== e && !x.reversed && x.timeUs <= timeUs).map((x) => x.timeUs),
      Number.NEGATIVE_INFINITY,
    );
  }

  /** The newest event with an id. */
  findId(id: string): OracleEvent | undefined {
    return this.events.findLast((e) => e.id === id);
  }

  private matching(timeUs: number, counterparty: number, amount: number): OracleEvent[] {
    return this.events.filter(
      (e) => e.timeUs === timeUs && e.counterparty === counterparty && Object.is(e.amount, amount),
    );
  }

  setFraud(timeUs: number, counterparty: number, amount: number, fraud: boolean): boolean {
    const all = this.matching(timeUs, counterparty, amount);
    const first = all.find((e) => !e.reversed && e.fraud !== fraud);
    if (first !== undefined) first.fraud = fraud;
    return all.length > 0;
  }

  reverseMatching(timeUs: number, counterparty: number, amount: number): boolean {
    const all = this.matching(timeUs, counterparty, amount);
    const first = all.find((e) => !e.reversed);
    if (first !== undefined) first.reversed = true;
    return all.length > 0;
  }
}
