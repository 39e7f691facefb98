/**
 * What is known by now of payments: a label that was reported is known at once; a payment that nobody reported is
 * genuine once it is older than the label delay, and unknown until then.
 */
import { LABEL_FRAUD, LABEL_NONE } from "../../actors/inference/feature_export.ts";

export const GENUINE = 0;
export const FRAUD = 1;
export const UNKNOWN = 2;

export interface KnownLabels {
  /** GENUINE, FRAUD or UNKNOWN of each payment. */
  readonly state: Uint8Array;
  readonly known: number;
  readonly frauds: number;
  readonly unknown: number;
  /**
   * Payments that are known only because they were reported before the delay had passed. Genuine ones of that age are
   * not known yet, so these raise the share of frauds.
   */
  readonly reported_early: number;
}

export interface LabelDelay {
  /** Payments up to this event time that nobody reported are genuine: now less the delay, microseconds. */
  readonly genuine_until_us: number;
  /** Leaves out what was reported early, so that payments of every age are known or unknown alike. */
  readonly mature_only: boolean;
}

/** Several parts, one after the other, as one. */
export function joinedLabels(parts: readonly KnownLabels[]): KnownLabels {
  const sum = (of: (part: KnownLabels) => number): number => parts.reduce((total, part) => total + of(part), 0);
  const state = new Uint8Array(sum((p) => p.state.length));
  let at = 0;
  for (const part of parts) {
    state.set(part.state, at);
    at += part.state.length;
  }
  return {
    state,
    known: sum((p) => p.known),
    frauds: sum((p) => p.frauds),
    unknown: sum((p) => p.unknown),
    reported_early: sum((p) => p.reported_early),
  };
}

/** `labels` as an export has them (LABEL_LEGITIMATE, LABEL_FRAUD, LABEL_NONE), with the payments' event times. */
export function knownLabels(times_us: Float64Array, labels: Uint8Array, o: LabelDelay): KnownLabels {
  if (times_us.length !== labels.length)
    throw new RangeError(`${labels.length} labels for ${times_us.length} payments`);
  const state = new Uint8Array(labels.length);
  let [frauds, unknown, reported_early] = [0, 0, 0];
  for (let r = 0; r < labels.length; r++) {
    const reported = labels[r] !== LABEL_NONE;
    const mature = times_us[r] <= o.genuine_until_us;
    if (!mature && (o.mature_only || !reported)) {
      state[r] = UNKNOWN;
      unknown++;
      continue;
    }
    if (!mature) reported_early++;
    if (labels[r] !== LABEL_FRAUD) continue;
    state[r] = FRAUD;
    frauds++;
  }
  return { state, known: labels.length - unknown, frauds, unknown, reported_early };
}
