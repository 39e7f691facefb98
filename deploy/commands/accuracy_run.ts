/**
 * The accuracy run: history up to the test days through a node, training on what that node exported, the node started
 * again with the trained model (so its recovery is used in earnest), the test days, the measures.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { openIdentity } from "../../gateway/identity/identity.ts";
import type { Tenant } from "../../proto/tenant.ts";
import { FraudClient } from "../client/fraud_client.ts";
import { attributeDeclarations } from "../datasets/convert.ts";
import { type History, openHistory } from "../datasets/history.ts";
import { dayOf, type HistoryRow } from "../datasets/history_row.ts";
import type { ColumnMapping } from "../datasets/mapping.ts";
import { CHECKOUT_DIR } from "../engines/files.ts";
import { LabelReach } from "../metrics/ceiling.ts";
import { type Judgement, judge } from "../metrics/judgement.ts";
import { KnownCards } from "../metrics/known_cards.ts";
import { ScoredPayments } from "../metrics/scored_payments.ts";
import { count, duration, Progress } from "../progress.ts";
import { ensurePythonEnvironment } from "../python/environment.ts";
import { trainModel } from "../python/training.ts";
import { AccountScores } from "./account_scores.ts";
import { accuracyParameters } from "./accuracy_parameters.ts";
import { writeLabelledCut } from "./export_reader.ts";
import { HistoryStream, PaymentRefused } from "./history_stream.ts";
import type { KnownOutcomes } from "./known_outcomes.ts";
import { prepareTenant, startNodeProcess } from "./node_process.ts";
import { TrainingLabels } from "./training_labels.ts";
import { checkWindows, featuresFile, SameMoment, type WindowCheck } from "./window_check.ts";

const DAY_US = 86_400e6;
const MODEL_NAME = "xgboost_accuracy_v1_0";

export interface AccuracyPlan {
  readonly data: readonly string[];
  readonly mapping: ColumnMapping;
  /** [from, to) of the training days and of the test days, microseconds. */
  readonly train_from_us: number;
  readonly train_to_us: number;
  readonly from_us: number;
  readonly to_us: number;
  readonly label_delay_days: number;
  /** Training parameters that differ from accuracyParameters(). */
  readonly parameters: Readonly<Record<string, string | number>>;
  /** New folder for journals, exports and the model. */
  readonly dir: string;
  readonly signal: AbortSignal;
}

export interface AccuracyResult extends Judgement {
  readonly judged: "payments" | "accounts";
  /** Payments of the test days that the data have no label for: scored, not judged. */
  readonly unlabelled: number;
  readonly decisions: number;
  readonly decisions_per_s: number;
  readonly outcomes_reported: number;
  readonly training: { readonly rows: number; readonly frauds: number; readonly parameters: object };
  /** Against the data set's own derived features; null where it has none. */
  readonly windows: WindowCheck | null;
  readonly elapsed_s: number;
}

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

export class AccuracyRun {
  readonly #o: AccuracyPlan;
  readonly #ids: string[] = [];
  /** By payment of the test days, as #ids; #scored holds those that have a label. */
  readonly #scores: number[] = [];
  readonly #scored = new ScoredPayments();
  readonly #rows: { day: number; card: string }[] = [];
  readonly #cards: KnownCards;
  readonly #reach: LabelReach;
  readonly #moments = new SameMoment();
  #labels: TrainingLabels | undefined;
  #accounts: AccountScores | undefined;
  #unlabelled = 0;

  constructor(o: AccuracyPlan) {
    this.#o = o;
    this.#cards = new KnownCards({
      train_from_day: dayOf(o.train_from_us),
      test_from_day: dayOf(o.from_us),
      test_to_day: dayOf(o.to_us - 1),
      label_delay_days: Math.ceil(o.label_delay_days),
    });
    this.#reach = new LabelReach(o.mapping.name, o.label_delay_days * DAY_US);
  }

  async measure(): Promise<AccuracyResult> {
    const started = performance.now();
    const o = this.#o;
    await mkdir(o.dir, { recursive: true });
    const data_dir = join(o.dir, "node");
    const currency = String(o.mapping.columns.currency?.value ?? "USD");
    prepareTenant(data_dir, currency, attributeDeclarations(o.mapping));
    const python = await ensurePythonEnvironment(join(CHECKOUT_DIR, "data", "python"), { progress: say });
    const before = await this.#before(data_dir);
    if (this.#labels === undefined) throw new Error("no payment lies before --from: there is nothing to train on");
    const training = writeLabelledCut([this.#labels.part(join(o.dir, "features-1"))], {
      out: join(o.dir, "training"),
      source: `${o.mapping.name}, training days`,
      from_us: o.train_from_us,
      to_us: o.train_to_us,
      genuine_until_us: o.from_us - o.label_delay_days * DAY_US,
    });
    say(`training on ${count(training.labelled)} payments, ${count(training.positives)} known frauds`);
    const parameters = { ...accuracyParameters(o.mapping.name), ...o.parameters };
    const card = await trainModel({
      python,
      features: join(o.dir, "training"),
      out: join(o.dir, "model"),
      name: MODEL_NAME,
      note: `made by the accuracy command on ${o.mapping.name}; not for shipping`,
      parameters: { ...parameters, "validate-fraction": 0 },
    });
    const test = await this.#test(data_dir, before.outcomes);
    const windows = await this.#windows(data_dir);
    const decisions = before.counts.decisions + test.counts.decisions;
    const known_cards_removed = this.#accounts?.withoutShared() ?? this.#withoutKnownCards();
    return {
      ...judge({
        format: o.mapping.name,
        models: { [card.name]: { all: this.#judged(), known_cards_removed } },
        deciding: card.name,
        no_ceiling: this.#reach.missing,
      }),
      judged: this.#accounts === undefined ? "payments" : "accounts",
      unlabelled: this.#unlabelled,
      decisions,
      decisions_per_s: Math.round(decisions / (before.counts.elapsed_s + test.counts.elapsed_s)),
      outcomes_reported: test.outcomes.reported,
      training: { rows: training.labelled, frauds: training.positives, parameters: card.parameters },
      windows,
      elapsed_s: (performance.now() - started) / 1000,
    };
  }

  /** `id,score` of the test days in event order. */
  scoresCsv(): string {
    return `id,score\n${this.#ids.map((id, r) => `${id},${this.#scores[r]}\n`).join("")}`;
  }

  /** Everything before the test days. */
  async #before(data_dir: string): Promise<HistoryStream> {
    const o = this.#o;
    const history = await openHistory({ paths: o.data, mapping: o.mapping, to_us: o.from_us });
    // Journals and exports know payments by the tenant's hash, whose key the node makes when it starts.
    return this.#stream("before the test days", history, data_dir, "features-1", o.from_us, [], undefined, (row) => {
      this.#labels ??= new TrainingLabels(tenantOf(data_dir), o.mapping.accounts !== undefined);
      if (row.eventTimeUs >= o.train_from_us && row.eventTimeUs < o.train_to_us) this.#labels.see(row);
      this.#cards.learn(dayOf(row.eventTimeUs), cardOf(row), row.fraud === 1);
      this.#reach.see(row);
    });
  }

  async #test(data_dir: string, waiting: KnownOutcomes): Promise<HistoryStream> {
    const o = this.#o;
    const history = await openHistory({ paths: o.data, mapping: o.mapping, from_us: o.from_us, to_us: o.to_us });
    if (o.mapping.accounts !== undefined) this.#accounts = new AccountScores(history.accounts);
    // A batch that waits for the model for a while is better than a payment without a score.
    const args = ["--model", join(o.dir, "model"), "--inference-budget-ms", "60000"];
    return this.#stream("test days", history, data_dir, "features-2", o.to_us, args, waiting, (row, score) => {
      if (score === undefined) throw new PaymentRefused(`payment ${row.transactionId} was decided without the model`);
      const day = dayOf(row.eventTimeUs);
      const card = cardOf(row);
      this.#cards.learn(day, card, row.fraud === 1);
      const reachable = this.#reach.see(row);
      this.#ids.push(row.transactionId);
      this.#scores.push(score);
      this.#accounts?.add(row, score);
      if (row.fraud === undefined) {
        this.#unlabelled++;
        return;
      }
      this.#rows.push({ day, card });
      this.#scored.add({ day, card, score, fraud: row.fraud, scenario: row.scenario ?? 0, reachable });
    });
  }

  async #stream(
    label: string,
    history: History,
    data_dir: string,
    features: string,
    until_us: number,
    args: readonly string[],
    waiting: KnownOutcomes | undefined,
    onScore: (row: HistoryRow, score: number | undefined) => void,
  ): Promise<HistoryStream> {
    const o = this.#o;
    const exported = ["--export-features", join(o.dir, features), "--export-from-us", String(o.train_from_us)];
    const node = await startNodeProcess({ data_dir, args: [...args, ...exported] });
    const client = new FraudClient(node.grpc, node.api_key);
    try {
      if (waiting !== undefined) waiting.client = client;
      const stream = new HistoryStream({
        client,
        // An account's flag is what is judged: reported for its payments, it would be known before its later ones.
        label_delay_us: o.mapping.accounts === undefined ? o.label_delay_days * DAY_US : null,
        attributes: true,
        decide_from_us: 0,
        onDecided: (row, { result }) => {
          this.#moments.see(row.userId, row.transactionId, row.eventTimeUs);
          onScore(row, result.case === "decision" ? result.value.score : undefined);
        },
        ...(waiting === undefined ? {} : { waiting }),
        signal: o.signal,
      });
      const now_us = () => performance.now() * 1000;
      const progress = new Progress({ label, unit: "rows", total: history.total, stream: process.stderr, now_us });
      await stream.run(history, until_us, progress);
      progress.finish();
      if (history.duplicates > 0)
        say(`${count(history.duplicates)} rows left out: their transaction id was read before`);
      return stream;
    } finally {
      client.close();
      await node.stop();
    }
  }

  async #windows(data_dir: string): Promise<WindowCheck | null> {
    const file = await featuresFile(this.#o.data);
    if (file === undefined || this.#o.mapping.name !== "handbook") return null;
    const from = performance.now();
    const exports = ["features-1", "features-2"].map((name) => join(this.#o.dir, name));
    const check = await checkWindows(file, exports, tenantOf(data_dir), this.#moments.ids);
    say(`windows compared in ${duration((performance.now() - from) / 1000)}`);
    return check;
  }

  #judged(): ScoredPayments {
    const table = this.#accounts?.all() ?? this.#scored;
    if (table.n > 0 && this.#ids.length > 0) return table;
    throw new Error("no labelled payment between --from and --to: look at the days and the labels of the data");
  }

  #withoutKnownCards(): ScoredPayments {
    return this.#scored.where(Uint8Array.from(this.#rows, ({ day, card }) => (this.#cards.has(day, card) ? 0 : 1)));
  }
}

function tenantOf(data_dir: string): Tenant {
  const [tenants_path, secrets_path] = [join(data_dir, "tenants.json"), join(data_dir, "secrets.json")];
  return openIdentity({ tenants_path, secrets_path }).tenants[0];
}

/** Data without cards has one a customer. */
function cardOf(row: HistoryRow): string {
  return row.cardToken ?? row.userId;
}
