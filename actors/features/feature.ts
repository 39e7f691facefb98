/** What is said of a feature, and the groups that features are of. */

export type FeatureOwner = "user" | "payment" | "merchant" | "device";

/**
 * What a feature is evidence of. Groups cut across owners and columns; each feature is of one.
 * - user_behavioral: the user's habit (windows over a day), how the payment stands to it, and what the payment itself
 *   says of its user: amount, hour, channel, the tenant's attributes.
 * - transaction_velocity: how fast the user pays: windows up to a day, time since the last payment.
 * - device_fingerprint: the device, and the user's change of it.
 * - merchant_risk: the merchant's trade, category and confirmed fraud.
 * - network_graph: what an entity shares with others: its distinct users.
 */
export const GROUPS = [
  "user_behavioral",
  "transaction_velocity",
  "device_fingerprint",
  "merchant_risk",
  "network_graph",
] as const;
export type FeatureGroup = (typeof GROUPS)[number];

export interface Feature {
  readonly name: string;
  readonly group: FeatureGroup;
  readonly owner: FeatureOwner;
  readonly unit: string;
  readonly formula: string;
  /** Where the formula is published; null: it says all there is to say. */
  readonly source: string | null;
  /** Length of the window, microseconds; 0 for none. */
  readonly window_us: number;
  /** In plain words, for reasons. */
  readonly text: string;
}

export function one(
  group: FeatureGroup,
  owner: FeatureOwner,
  name: string,
  unit: string,
  formula: string,
  text: string,
  more: { readonly window_us?: number; readonly source?: string } = {},
): Feature {
  return { name, group, owner, unit, formula, source: more.source ?? null, window_us: more.window_us ?? 0, text };
}
