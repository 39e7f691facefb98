/**
 * Payments in segments, by the value of a feature or by the day of the week, so that quality and false positives can be
 * compared between them. Features with few values, and codes, have one segment a value; others have the quarters of
 * their reference.
 */
import { FEATURES } from "../../actors/features/registry.ts";
import { type KnownLabels, UNKNOWN } from "./label_delay.ts";
import { type Quality, type QualityOptions, quality, type ThresholdQuality } from "./quality.ts";

/** The one segmentation that is made of event times: UTC. */
export const WEEKDAY = "weekday";
/** Segments with fewer known payments are pooled as this one. */
export const OTHER = "other";
export const SEGMENT_ROWS_MIN = 100;

/** A feature with at most so many values has a segment each. */
const VALUES_MAX = 32;
/** The same for codes (registry's unit "code"), whose order says nothing. */
const CODES_MAX = 4096;
const QUARTERS = 4;
const WEEKDAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const DAY_US = 86_400e6;
/** 1970-01-01 was a Thursday. */
const FIRST_WEEKDAY = 4;

/** The segments of both sides: their names, and of each payment the position of its own. */
export interface Segmentation {
  readonly by: string;
  readonly names: readonly string[];
  readonly reference: Uint16Array;
  readonly current: Uint16Array;
}

/** By the day of the week, UTC, of event times in microseconds. */
export function byWeekday(reference_us: Float64Array, current_us: Float64Array): Segmentation {
  const codes = (times_us: Float64Array): Uint16Array =>
    Uint16Array.from(times_us, (t_us) => (((Math.floor(t_us / DAY_US) + FIRST_WEEKDAY) % 7) + 7) % 7);
  return { by: WEEKDAY, names: WEEKDAYS, reference: codes(reference_us), current: codes(current_us) };
}

/** By a feature's values on both sides (NaN is missing). */
export function byFeature(name: string, reference: Float32Array, current: Float32Array): Segmentation {
  const is_code = FEATURES.find((f) => f.name === name)?.unit === "code";
  const values = distinctValues([reference, current], is_code ? CODES_MAX : VALUES_MAX);
  return values === null ? byQuarter(name, reference, current) : byValue(name, values, reference, current);
}

/** Ascending, without NaN; null when there are more than `max`. */
function distinctValues(columns: readonly Float32Array[], max: number): number[] | null {
  const found = new Set<number>();
  for (const column of columns) {
    for (const x of column) {
      // A set takes -0 for 0 as comparisons do.
      if (!Number.isNaN(x)) found.add(x);
      if (found.size > max) return null;
    }
  }
  return [...found].sort((a, b) => a - b);
}

const missingOf = (by: string): string => `${by} missing`;

function byValue(by: string, values: number[], reference: Float32Array, current: Float32Array): Segmentation {
  const position = new Map(values.map((x, i) => [x, i]));
  const codes = (column: Float32Array): Uint16Array =>
    Uint16Array.from(column, (x) => (Number.isNaN(x) ? values.length : position.get(x)!));
  const names = [...values.map((x) => `${by} = ${numberText(x)}`), missingOf(by)];
  return { by, names, reference: codes(reference), current: codes(current) };
}

function byQuarter(by: string, reference: Float32Array, current: Float32Array): Segmentation {
  const sorted = reference.filter((x) => !Number.isNaN(x)).sort();
  const cuts: number[] = [];
  for (let k = 1; k < QUARTERS && sorted.length > 0; k++) {
    const cut = sorted[Math.ceil((k * sorted.length) / QUARTERS) - 1];
    if (cuts.length === 0 || cut > cuts[cuts.length - 1]) cuts.push(cut);
  }
  const codes = (column: Float32Array): Uint16Array =>
    Uint16Array.from(column, (x) => {
      if (Number.isNaN(x)) return cuts.length + 1;
      const at = cuts.findIndex((cut) => x <= cut);
      return at === -1 ? cuts.length : at;
    });
  const texts = cuts.map(numberText);
  const names = cuts.map((_, k) => (k === 0 ? `${by} <= ${texts[0]}` : `${texts[k - 1]} < ${by} <= ${texts[k]}`));
  names.push(cuts.length === 0 ? by : `${by} > ${texts[cuts.length - 1]}`, missingOf(by));
  return { by, names, reference: codes(reference), current: codes(current) };
}

const numberText = (x: number): string => String(Number(x.toPrecision(6)));

export interface SegmentQuality extends Quality {
  readonly name: string;
}

/** The largest false positive rate of a segment against the smallest, at one threshold. */
export interface FalsePositiveRatio {
  readonly threshold: string;
  /** 1 when all rates are the same; else null when the smallest is 0. */
  readonly ratio: number | null;
  /** Names of the segments. */
  readonly highest: string;
  readonly lowest: string;
  /** The two rates differ by more than the extremes of so many segments do by chance (95 %). */
  readonly beyond_chance: boolean;
}

export interface SegmentTable {
  /** In the segmentation's order, `other` last. */
  readonly segments: readonly SegmentQuality[];
  /** Names of the segments that are pooled in `other`. */
  readonly pooled: readonly string[];
  /** Of the segments but `other`, with SEGMENT_ROWS_MIN genuine payments each; one a threshold, none without two. */
  readonly false_positive_ratios: readonly FalsePositiveRatio[];
}

/** Quality of each segment of one side; `codes` are positions in `names`. */
export function segmentTable(
  names: readonly string[],
  codes: Uint16Array,
  scores: Float32Array,
  { state }: Pick<KnownLabels, "state">,
  o: QualityOptions,
): SegmentTable {
  const [known, held] = [new Float64Array(names.length), new Float64Array(names.length)];
  for (let r = 0; r < codes.length; r++) {
    held[codes[r]]++;
    if (state[r] !== UNKNOWN) known[codes[r]]++;
  }
  const alone = names.map((_, s) => known[s] >= SEGMENT_ROWS_MIN);
  const pooled = names.filter((_, s) => !alone[s] && held[s] > 0);
  const segments = names.flatMap((name, s) => (alone[s] ? [{ name, ...quality(scores, state, o, codes, s) }] : []));
  if (pooled.length > 0) {
    const shared = codes.map((s) => (alone[s] ? s : names.length));
    segments.push({ name: OTHER, ...quality(scores, state, o, shared, names.length) });
  }
  return { segments, pooled, false_positive_ratios: falsePositiveRatios(segments, o) };
}

/** How often any two of all segments may be told apart although their rates are the same. */
const CHANCE = 0.05;

const genuine = (s: SegmentQuality): number => s.known - s.frauds;

/**
 * Whether the rates of two segments, picked as the extremes of `segments`, differ by more than chance: the test of two
 * proportions with a pooled rate, at the level CHANCE over all pairs (Bonferroni). The normal distribution's tail is
 * bounded by P(|Z| > z) <= 2 exp(-z^2 / 2) (Chernoff), so this is on the careful side.
 */
function isBeyondChance(a: ThresholdQuality, n: number, b: ThresholdQuality, m: number, segments: number): boolean {
  const pooled = (a.alerted - a.caught + b.alerted - b.caught) / (n + m);
  const spread = Math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m));
  const pairs = (segments * (segments - 1)) / 2;
  const z = Math.sqrt(2 * Math.log((2 * pairs) / CHANCE));
  return Math.abs(a.false_positive_rate - b.false_positive_rate) > z * spread;
}

function falsePositiveRatios(segments: readonly SegmentQuality[], o: QualityOptions): FalsePositiveRatio[] {
  const judged = segments.filter((s) => s.name !== OTHER && genuine(s) >= SEGMENT_ROWS_MIN);
  if (judged.length < 2) return [];
  return o.thresholds.map((t, i): FalsePositiveRatio => {
    const at = (s: SegmentQuality): ThresholdQuality => s.thresholds[i];
    const rate = (s: SegmentQuality): number => at(s).false_positive_rate;
    const high = judged.reduce((best, s) => (rate(s) > rate(best) ? s : best));
    const low = judged.reduce((best, s) => (rate(s) < rate(best) ? s : best));
    const same = rate(high) === rate(low);
    return {
      threshold: t.name,
      ratio: same ? 1 : rate(low) > 0 ? rate(high) / rate(low) : null,
      highest: high.name,
      lowest: low.name,
      beyond_chance: isBeyondChance(at(high), genuine(high), at(low), genuine(low), judged.length),
    };
  });
}
