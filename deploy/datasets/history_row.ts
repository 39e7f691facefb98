/** The one shape in which every data set is read: a payment of the past with what is known about it now. */

export interface HistoryRow {
  readonly transactionId: string;
  readonly userId: string;
  readonly merchantId: string;
  /** Minor units of the currency, a whole number. */
  readonly amountMinor: number;
  /** ISO 4217. */
  readonly currency: string;
  /** Microseconds since 1970-01-01 UTC, a whole number. */
  readonly eventTimeUs: number;
  /** ISO 3166-1 alpha-2. */
  readonly country?: string | undefined;
  /** Degrees, WGS 84. */
  readonly latitude?: number | undefined;
  readonly longitude?: number | undefined;
  readonly category?: string | undefined;
  readonly channel?: string | undefined;
  readonly cardToken?: string | undefined;
  readonly deviceId?: string | undefined;
  readonly ip?: string | undefined;
  /** 1 fraud, 0 genuine, undefined unlabelled. */
  readonly fraud?: 0 | 1 | undefined;
  /** Kind of fraud as the data numbers it, 0 for genuine. For judging only, never an input. */
  readonly scenario?: number | undefined;
  /** Numbers by name, as many as a tenant has slots for. */
  readonly attributes?: Readonly<Record<string, number>> | undefined;
}

/** Days since 1970-01-01 UTC of a time in microseconds. */
export function dayOf(time_us: number): number {
  return Math.floor(time_us / 86_400_000_000);
}
