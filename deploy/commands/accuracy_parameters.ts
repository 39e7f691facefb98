/**
 * Training parameters of the accuracy command by format, and how they were chosen: on days that lie wholly before the
 * test days.
 *
 * Handbook: train on the week from 2018-06-13, 06-20, 06-27 or 07-04 with features that the actors exported, judge the
 * week that begins 14 days later (the last one ends on 07-24) by average precision over all its payments. These
 * parameters: 0.8043 over the four folds, where the others gave: depth 5 with 120 trees 0.8042, exact splits of depth 3
 * with 100 trees at rate 0.1 0.8007, 250 trees 0.8020, rate 0.03 with 250 trees 0.8041, least child weight 2 0.8032 and
 * 10 0.8038, a quarter of the columns 0.8038 and 60 % 0.8029, penalty 10 on leaves 0.8041, three trees a step 0.8045.
 *
 * The others come from earlier trials of the same kind on the formats' own training days.
 */
type Parameters = Readonly<Record<string, string | number>>;

const HANDBOOK: Parameters = {
  trees: 150,
  depth: 4,
  rate: 0.05,
  method: "hist",
  "base-score": 0.5,
  "max-step": 0,
  "min-weight": 5,
  columns: 0.4,
  rows: 0.8,
};

const BY_FORMAT: Readonly<Record<string, Parameters>> = {
  ucsd2009: { ...HANDBOOK, trees: 300, depth: 5, rate: 0.03 },
  "s-ffsd": { ...HANDBOOK, trees: 250, depth: 5, "min-weight": 10, columns: 0.1 },
  sparkov: { ...HANDBOOK, trees: 150, depth: 6, rate: 0.1 },
};

/** Arguments of train.py for a format (the name of its mapping); a format of one's own has the handbook's. */
export function accuracyParameters(format: string): Parameters {
  return BY_FORMAT[format] ?? HANDBOOK;
}
