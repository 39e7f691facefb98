/** What `npm run features` prints and writes: the registry by group, and what a check of an export found. */
import { type FeatureGroup, GROUPS } from "../../actors/features/feature.ts";
import { FEATURES, HOUR_US, MINUTE_US } from "../../actors/features/registry.ts";
import { count } from "../progress.ts";
import { WrongArgument } from "./arguments.ts";
import type { FeatureCheck } from "./features_check.ts";

export interface ListedFeature {
  /** In the feature matrix. */
  readonly column: number;
  readonly name: string;
  readonly group: FeatureGroup;
  readonly owner: string;
  readonly unit: string;
  /** 0 for none. */
  readonly window_us: number;
  readonly formula: string;
  readonly source: string | null;
  readonly text: string;
}

export interface FeatureList {
  readonly count: number;
  /** Features by group; only groups that are listed. */
  readonly groups: Readonly<Record<string, number>>;
  readonly features: readonly ListedFeature[];
}

/** A group's name as one of GROUPS; undefined stays so. Throws WrongArgument. */
export function groupNamed(name: string | undefined): FeatureGroup | undefined {
  const group = GROUPS.find((g) => g === name);
  if (name !== undefined && group === undefined) throw new WrongArgument(`--group takes one of ${GROUPS.join(", ")}`);
  return group;
}

/** The registry in column order, or one group of it. */
export function listFeatures(only?: FeatureGroup): FeatureList {
  const features = FEATURES.map(
    ({ name, group, owner, unit, window_us, formula, source, text }, column): ListedFeature => ({
      ...{ column, name, group, owner, unit, window_us, formula, source, text },
    }),
  ).filter((f) => only === undefined || f.group === only);
  const listed = GROUPS.filter((group) => only === undefined || group === only);
  const groups = Object.fromEntries(listed.map((g) => [g, features.filter((f) => f.group === g).length]));
  return { count: features.length, groups, features };
}

/** A name that begins with > is aligned to the right. */
const LIST_COLUMNS = [">column", "name", "owner", "unit", ">window", "formula"];
const CHECK_COLUMNS = [">column", "name", ">present", ">minimum", ">maximum", ">mean", ""];

export function listReport(list: FeatureList): string {
  const parts = Object.entries(list.groups).map(([group, n]) => {
    const rows = list.features
      .filter((f) => f.group === group)
      .map((f) => [String(f.column), f.name, f.owner, f.unit, windowText(f.window_us), f.formula]);
    return `${group}, ${n} features\n${table(LIST_COLUMNS, rows)}`;
  });
  return `${parts.join("\n")}\n${list.count} features\n`;
}

export function checkReport(check: FeatureCheck): string {
  const day = (us: number): string => new Date(us / 1000).toISOString().slice(0, 10);
  const rows = check.features.map((f) => [
    String(f.column),
    f.name,
    `${(100 * f.present_share).toFixed(2)} %`,
    ...[f.minimum, f.maximum, f.mean].map(numberText),
    f.is_constant ? "constant" : "",
  ]);
  const found = check.warnings.map((w) => `! ${w.text}\n`).join("");
  const sum = check.warnings.length === 0 ? "nothing to warn of" : `${check.warnings.length} warnings`;
  const head = `${count(check.rows)} payments from ${day(check.from_us)} to ${day(check.to_us)}`;
  return `${head}: ${check.exports.join(", ")}\n${table(CHECK_COLUMNS, rows)}\n${found}${sum}\n`;
}

function numberText(x: number | null): string {
  return x === null ? "-" : String(Number(x.toPrecision(6)));
}

/** Windows up to a day in minutes or hours, as their names have them. */
function windowText(us: number): string {
  if (us === 0) return "-";
  if (us < HOUR_US) return `${us / MINUTE_US} m`;
  return us <= 24 * HOUR_US ? `${us / HOUR_US} h` : `${us / (24 * HOUR_US)} d`;
}

function table(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const isRight = columns.map((c) => c.startsWith(">"));
  const all = [columns.map((c) => c.replace(/^>/, "")), ...rows];
  const widths = columns.map((_, i) => Math.max(...all.map((cells) => cells[i].length)));
  const pad = (text: string, i: number): string => (isRight[i] ? text.padStart(widths[i]) : text.padEnd(widths[i]));
  return all.map((cells) => `${cells.map(pad).join("  ").trimEnd()}\n`).join("");
}
