/**
 * Published results on the handbook payments, for printing beside ours. Source of all rows: Y.-A. Le Borgne, W.
 * Siblini, B. Lebichot, G. Bontempi, "Reproducible Machine Learning for Credit Card Fraud Detection - Practical
 * Handbook", 2022. Measures are on the test set with the known cards removed (known_cards.ts), features
 * standardised on the training set.
 */

export interface PublishedResult {
  readonly model: string;
  readonly chapter: string;
  readonly roc_auc: number;
  readonly average_precision: number;
  readonly card_precision_at_100: number;
}

export interface PublishedTable {
  readonly name: string;
  readonly source: string;
  readonly protocol: string;
  readonly rows: readonly PublishedResult[];
}

const SOURCE = "Fraud Detection Handbook (Le Borgne, Siblini, Lebichot, Bontempi, 2022)";

function row(chapter: string, model: string, roc: number, ap: number, cp: number): PublishedResult {
  return { model, chapter, roc_auc: roc, average_precision: ap, card_precision_at_100: cp };
}

/** One test week: train 2018-07-25..31, 7 days of delay, test 2018-08-08..14. */
export const HANDBOOK_WEEK: PublishedTable = {
  name: "handbook, test week 2018-08-08..14",
  source: SOURCE,
  protocol: "train 2018-07-25..31, label delay 7 days, test 2018-08-08..14, known cards removed",
  rows: [
    row("3", "Random scores", 0.5, 0.007, 0.017),
    row("3", "Logistic regression", 0.871, 0.606, 0.291),
    row("3", "Decision tree, depth 2", 0.763, 0.496, 0.241),
    row("3", "Decision tree, unlimited depth", 0.788, 0.309, 0.243),
    row("3", "Random forest (100 trees)", 0.867, 0.658, 0.287),
    row("3", "XGBoost (defaults of its time)", 0.862, 0.639, 0.273),
    row("7", "Feed-forward network, first attempt", 0.864, 0.653, 0.286),
  ],
};

/** Tuned models, mean of four weekly folds: test weeks beginning 2018-08-08, 08-15, 08-22 and 08-29. */
export const HANDBOOK_FOLDS: PublishedTable = {
  name: "handbook, tuned, mean of four weekly folds",
  source: SOURCE,
  protocol: "four folds, each its own training week and 7 days of delay, test weeks from 08-08, 08-15, 08-22, 08-29",
  rows: [
    row("5-7", "Decision tree", 0.797, 0.579, 0.284),
    row("5-7", "Logistic regression", 0.868, 0.623, 0.297),
    row("5-7", "Random forest", 0.87, 0.678, 0.299),
    row("5-7", "XGBoost", 0.869, 0.687, 0.303),
    row("5-7", "Balanced bagging", 0.879, 0.68, 0.305),
    row("5-7", "Feed-forward network", 0.876, 0.675, 0.303),
    row("5-7", "1-D convolutional network", 0.872, 0.599, 0.288),
    row("5-7", "LSTM", 0.876, 0.665, 0.297),
    row("5-7", "LSTM with attention", 0.874, 0.667, 0.295),
  ],
};

/** Tables that belong to a data format (the name of its column mapping); empty for one without published results. */
export function publishedTables(format: string): readonly PublishedTable[] {
  return format === "handbook" ? [HANDBOOK_WEEK, HANDBOOK_FOLDS] : [];
}
