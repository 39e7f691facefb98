/** A comparison of two sets of payments from beginning to end: labels, drift of every column, quality, segments. */
import { setImmediate as breathe } from "node:timers/promises";
import { FEATURES } from "../../actors/features/registry.ts";
import { BOOTSTRAP } from "../metrics/bootstrap.ts";
import { bySeverity, driftAlerts, labelNotes, qualityAlerts, segmentAlerts } from "./alerts.ts";
import { type ColumnDrift, columnDrift, scoreHistogram } from "./column_drift.ts";
import { ExportRows, type ReadOptions, type TimeRange } from "./export_rows.ts";
import { joinedLabels, type KnownLabels, knownLabels } from "./label_delay.ts";
import { modelScores, requireSameFeatures, type ScoringModel } from "./model_scores.ts";
import {
  type AlertLimits,
  HISTOGRAM_BINS,
  type ModelReport,
  type MonitorReport,
  REPORT_FORMAT,
  type ReportedSide,
  type SegmentComparison,
} from "./monitor_report.ts";
import { type QualityOptions, quality, type Threshold } from "./quality.ts";
import { byFeature, byWeekday, type Segmentation, segmentTable, WEEKDAY } from "./segments.ts";

const DAY_US = 86_400e6;
const UNIT_OF = new Map(FEATURES.map((f) => [f.name, f.unit]));
/** Of values of columns that are held at once; more columns are read in another pass. */
const COLUMN_BYTES_MAX = 1024 * 1024 * 1024;

/** The export holds nothing of the name that segments were asked by. */
export class UnknownSegmentation extends Error {
  override name = "UnknownSegmentation";
}

export interface MonitorPlan {
  /** Paths of exports (ExportRows.open), with the event times to take. */
  readonly reference: { readonly path: string; readonly range: TimeRange };
  readonly current: { readonly path: string; readonly range: TimeRange };
  /** Null: drift of the features alone. */
  readonly model: ScoringModel | null;
  /** The first one is the operating threshold. */
  readonly thresholds: readonly Threshold[];
  /** Names of features, or WEEKDAY. */
  readonly segment_by: readonly string[];
  readonly label_delay_days: number;
  readonly mature_only: boolean;
  /**
   * Event time up to which the exports were told what was reported, microseconds; never before an export's newest
   * payment. Absent: each export's newest payment.
   */
  readonly now_us?: number;
  readonly limits: AlertLimits;
  readonly bootstrap?: { readonly resamples: number; readonly seed: number };
  readonly signal: AbortSignal;
  /** Told of payments read so far and in all, each as often as it is read. */
  readonly onRows?: (done: number, total: number) => void;
  readonly column_bytes_max?: number;
}

/** A side that is open, with what is known of its payments. */
interface Side {
  readonly rows: ExportRows;
  readonly labels: KnownLabels;
  readonly reported: ReportedSide;
}

interface Sides {
  readonly reference: Side;
  readonly current: Side;
}

export class MonitorRun {
  readonly #o: MonitorPlan;
  readonly #quality: QualityOptions;
  #done = 0;
  #total = 0;

  constructor(o: MonitorPlan) {
    this.#o = o;
    this.#quality = { thresholds: o.thresholds, bootstrap: o.bootstrap ?? BOOTSTRAP };
  }

  /** Rejects with UnreadableExport, EmptyRange, DifferentFeatures or UnknownSegmentation. */
  async compare(): Promise<MonitorReport> {
    const o = this.#o;
    const reference = await this.#open(o.reference.path, o.reference.range);
    const current = await this.#open(o.current.path, o.current.range);
    const sides = { reference, current };
    const names = reference.rows.feature_names;
    requireSameFeatures(current.rows.exports[0], current.rows.feature_names, reference.rows.exports[0], names);
    for (const by of o.segment_by) {
      if (by === WEEKDAY || reference.rows.columnOf(by) >= 0) continue;
      throw new UnknownSegmentation(`the export holds no ${by}; segments are by ${WEEKDAY} or by one of its features`);
    }
    const at_once = this.#columnsAtOnce(sides);
    const scored = o.model === null ? 0 : 1;
    const segmented = o.model === null ? 0 : o.segment_by.filter((by) => by !== WEEKDAY).length;
    const passes = Math.ceil(names.length / at_once) + scored + segmented;
    this.#total = passes * (reference.rows.rows_read + current.rows.rows_read);
    const features = await this.#features(sides, at_once);
    const model = o.model === null ? null : await this.#model(sides, o.model);
    const drifted = model === null ? features : [...features, model.score];
    const alerts = [
      ...drifted.flatMap((c) => driftAlerts(c, o.limits)),
      ...(model === null ? [] : qualityAlerts(model)),
      ...(model?.segments ?? []).flatMap((s) => segmentAlerts(s, o.limits)),
    ];
    return {
      format: REPORT_FORMAT,
      label_delay_days: o.label_delay_days,
      mature_only: o.mature_only,
      limits: o.limits,
      bootstrap: this.#quality.bootstrap,
      reference: reference.reported,
      current: current.reported,
      features,
      model,
      alerts: bySeverity(alerts),
      notes: [...labelNotes("reference", reference.reported), ...labelNotes("current", current.reported)],
    };
  }

  #read(): ReadOptions {
    const onRows = (rows: number): void => {
      this.#done += rows;
      this.#o.onRows?.(this.#done, this.#total);
    };
    return { signal: this.#o.signal, onRows };
  }

  async #open(path: string, range: TimeRange): Promise<Side> {
    const o = this.#o;
    const rows = await ExportRows.open(path, range, o);
    const { mature_only, label_delay_days } = o;
    const genuine_until_us = rows.parts.map(({ newest_us }) => {
      return Math.max(o.now_us ?? newest_us, newest_us) - label_delay_days * DAY_US;
    });
    const of_parts = rows.parts.map(({ first, end }, i) => {
      const [times_us, labels] = [rows.times_us.subarray(first, end), rows.labels.subarray(first, end)];
      return knownLabels(times_us, labels, { genuine_until_us: genuine_until_us[i], mature_only });
    });
    const labels = joinedLabels(of_parts);
    const { known, unknown, frauds, reported_early } = labels;
    const from_us = rows.times_us.reduce((a, b) => Math.min(a, b));
    const to_us = rows.times_us.reduce((a, b) => Math.max(a, b));
    const counts = { payments: rows.rows, known, unknown, frauds, reported_early };
    return { rows, labels, reported: { exports: rows.exports, from_us, to_us, genuine_until_us, ...counts } };
  }

  #columnsAtOnce({ reference, current }: Sides): number {
    const column_bytes = 4 * (reference.rows.rows + current.rows.rows);
    return Math.max(1, Math.floor((this.#o.column_bytes_max ?? COLUMN_BYTES_MAX) / column_bytes));
  }

  async #features({ reference, current }: Sides, at_once: number): Promise<ColumnDrift[]> {
    const names = reference.rows.feature_names;
    const features: ColumnDrift[] = [];
    for (let first = 0; first < names.length; first += at_once) {
      const part = names.slice(first, first + at_once);
      const columns = part.map((_, i) => first + i);
      const before = await reference.rows.readColumns(columns, this.#read());
      const now = await current.rows.readColumns(columns, this.#read());
      for (const [i, name] of part.entries()) {
        features.push(columnDrift(name, UNIT_OF.get(name) ?? null, before[i], now[i]));
        await this.#breathe();
      }
    }
    return features;
  }

  async #model({ reference, current }: Sides, opened: ScoringModel): Promise<ModelReport> {
    const before = await modelScores(reference.rows, opened, this.#read());
    const now = await modelScores(current.rows, opened, this.#read());
    const segments: SegmentComparison[] = [];
    for (const by of this.#o.segment_by) {
      const s = await this.#segmentation(by, { reference, current });
      await this.#breathe();
      const of_reference = segmentTable(s.names, s.reference, before, reference.labels, this.#quality);
      await this.#breathe();
      const of_current = segmentTable(s.names, s.current, now, current.labels, this.#quality);
      segments.push({ by, reference: of_reference, current: of_current });
    }
    await this.#breathe();
    const judged_before = quality(before, reference.labels.state, this.#quality);
    await this.#breathe();
    return {
      name: opened.model.card.name,
      stage: opened.stage,
      thresholds: this.#quality.thresholds,
      quality: { reference: judged_before, current: quality(now, current.labels.state, this.#quality) },
      histogram: {
        reference: scoreHistogram(before, HISTOGRAM_BINS),
        current: scoreHistogram(now, HISTOGRAM_BINS),
      },
      segments,
      // Last: it sorts the scores.
      score: columnDrift("score", "share", before, now),
    };
  }

  async #segmentation(by: string, { reference, current }: Sides): Promise<Segmentation> {
    if (by === WEEKDAY) return byWeekday(reference.rows.times_us, current.rows.times_us);
    const columns = [reference.rows.columnOf(by)];
    const [before] = await reference.rows.readColumns(columns, this.#read());
    const [now] = await current.rows.readColumns(columns, this.#read());
    return byFeature(by, before, now);
  }

  /** Lets signals in between two pieces of work. */
  async #breathe(): Promise<void> {
    await breathe();
    this.#o.signal.throwIfAborted();
  }
}
