/**
 * The judgement of a run: every model's accuracy on the labelled rows of the test days, with and without the cards that
 * were known as compromised, beside the ceiling and the published results.
 */
import { type Accuracy, accuracy, type Measures } from "./accuracy.ts";
import { type CeilingMeasures, ceilingMeasures } from "./ceiling.ts";
import { type PublishedTable, publishedTables } from "./published.ts";
import type { ScoredPayments } from "./scored_payments.ts";

/**
 * What a data set is judged on: all labelled rows, or those without the known cards (for graphs of accounts: without
 * the accounts that are flagged in a graph trained on as well).
 */
export type Split = "all" | "known_cards_removed";

/** Formats whose protocol takes the known cards out of the test. */
const WITHOUT_KNOWN_CARDS: readonly string[] = ["handbook", "amlsim"];

/** The measures on the split that the data set's protocol judges, and both splits in full. */
export interface ModelMetrics extends Measures {
  readonly split: Split;
  readonly all: Accuracy;
  readonly known_cards_removed: Accuracy;
}

export type Ceiling =
  | { readonly reason: string }
  | { readonly definition: string; readonly all: CeilingMeasures; readonly known_cards_removed: CeilingMeasures };

export interface Judgement {
  // The deciding model's.
  readonly all: Accuracy;
  readonly known_cards_removed: Accuracy;
  /** On the split of the protocol, as in `models`. */
  readonly lift_20: number;
  readonly models: Readonly<Record<string, ModelMetrics>>;
  readonly ceiling: Ceiling;
  readonly published: readonly PublishedTable[];
}

export interface JudgementOptions {
  /** Name of the column mapping. */
  readonly format: string;
  /** The test rows with each model's scores, by its name; the same rows for every model. */
  readonly models: Readonly<Record<string, Readonly<Record<Split, ScoredPayments>>>>;
  /** Name of the model that decided. */
  readonly deciding: string;
  /** Why there is no ceiling (LabelReach.missing). */
  readonly no_ceiling: string | undefined;
}

const CEILING =
  "a score of 1 for frauds within reach, 0 for all others; out of reach: a fraud of scenario 2 without an earlier " +
  "one of the same compromise (same terminal, less than 28 days ago) whose label is known";

/** Throws RangeError without the deciding model's rows. */
export function judge(o: JudgementOptions): Judgement {
  const rows = o.models[o.deciding];
  if (rows === undefined) throw new RangeError(`no scores of ${o.deciding}`);
  const split = WITHOUT_KNOWN_CARDS.includes(o.format) ? "known_cards_removed" : "all";
  const models: Record<string, ModelMetrics> = {};
  for (const [name, tables] of Object.entries(o.models)) {
    const both = { all: accuracy(tables.all), known_cards_removed: accuracy(tables.known_cards_removed) };
    models[name] = { split, ...measuresOf(both[split]), ...both };
  }
  const { all, known_cards_removed, lift_20 } = models[o.deciding];
  return {
    all,
    known_cards_removed,
    lift_20,
    models,
    ceiling: ceilingOf(o, rows),
    published: publishedTables(o.format),
  };
}

function ceilingOf(o: JudgementOptions, rows: Readonly<Record<Split, ScoredPayments>>): Ceiling {
  if (o.no_ceiling !== undefined) return { reason: o.no_ceiling };
  return {
    definition: CEILING,
    all: ceilingMeasures(rows.all),
    known_cards_removed: ceilingMeasures(rows.known_cards_removed),
  };
}

function measuresOf(a: Accuracy): Measures {
  return {
    roc_auc: a.roc_auc,
    average_precision: a.average_precision,
    card_precision_at_100: a.card_precision_at_100,
    lift_20: a.lift_20,
    recall_at_half_percent_fpr: a.recall_at_half_percent_fpr,
    recall_at_one_percent_fpr: a.recall_at_one_percent_fpr,
    brier: a.brier,
    log_loss: a.log_loss,
    calibration_error: a.calibration_error,
    f1_macro: a.f1_macro,
  };
}
