/**
 * Training parameters of the accuracy command.
 */

/** Arguments of train.py. */
export const ACCURACY_PARAMETERS: Readonly<Record<string, string | number>> = {
  trees: 100,
  depth: 3,
  rate: 0.1,
  method: "exact",
  "base-score": 0.5,
  "max-step": 0,
  "min-weight": 1,
  columns: 1,
};
