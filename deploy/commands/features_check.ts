/**
 * Checks a feature export: what each feature holds, which pairs of features say the same, and what of it is a fault of
 * the features: constant, hardly ever there, infinite, or a copy of another.
 */
import { existsSync, readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { setImmediate as breathe } from "node:timers/promises";
import type { FeatureGroup } from "../../actors/features/feature.ts";
import { FEATURES } from "../../actors/features/registry.ts";
import type { ExportMeta } from "../../actors/inference/feature_export.ts";
import { readExport, readMeta } from "./export_reader.ts";
import { type ColumnProfile, FeatureProfile } from "./features_profile.ts";

/** A feature present on a smaller share of the payments is rare. */
const PRESENT_SHARE_MIN = 0.01;
/** Two features whose correlation is beyond this, in either direction, say the same. */
const CORRELATION_MAX = 0.999;
const FORMAT = 1;
/** Of an export that is read: pairs take 48 bytes each. */
const COLUMNS_MAX = 1024;

/** What was named is no finished feature export, or one that this program cannot read. The message says which. */
export class UnreadableExport extends Error {
  override name = "UnreadableExport";
}

export interface CheckedFeature extends ColumnProfile {
  /** In the export. */
  readonly column: number;
  readonly name: string;
  /** Null for a feature that the registry of this code does not have. */
  readonly group: FeatureGroup | null;
  /** Present rows over all. */
  readonly present_share: number;
}

export interface CorrelatedPair {
  readonly features: readonly [string, string];
  readonly correlation: number;
  /** Payments that have both. */
  readonly rows: number;
}

export interface FeatureWarning {
  readonly kind: "constant" | "rare" | "infinite" | "correlated";
  readonly features: readonly string[];
  readonly text: string;
}

export interface FeatureCheck {
  readonly exports: readonly string[];
  readonly rows: number;
  /** Event times of the payments, microseconds. */
  readonly from_us: number;
  readonly to_us: number;
  readonly features: readonly CheckedFeature[];
  /** Pairs beyond CORRELATION_MAX, the strongest first. */
  readonly correlated: readonly CorrelatedPair[];
  readonly warnings: readonly FeatureWarning[];
}

/**
 * Folders of the exports at `path`: an export's folder, a file of one, or a folder that `npm run train` or
 * `npm run accuracy` kept with --work; of that all that nodes wrote (`features-N`), not the cut made of them.
 * Throws UnreadableExport.
 */
export function exportFolders(path: string): string[] {
  if (!existsSync(path)) throw new UnreadableExport(`${path} does not exist`);
  const dir = statSync(path).isDirectory() ? path : dirname(path);
  if (existsSync(join(dir, "meta.json"))) return [dir];
  const parts = readdirSync(dir).filter((name) => /^features-\d+$/.test(name));
  if (parts.length === 0 || dir !== path) {
    throw new UnreadableExport(`${path}: no feature export (meta.json is missing), or one that was not finished`);
  }
  const number = (name: string): number => Number(name.slice("features-".length));
  return parts.sort((a, b) => number(a) - number(b)).map((name) => join(dir, name));
}

/** meta.json of an export that can be read as rows of features. Throws UnreadableExport. */
function checkedMeta(dir: string): ExportMeta {
  const wrong = (what: string): UnreadableExport => new UnreadableExport(`${join(dir, "meta.json")}: ${what}`);
  let meta: Partial<ExportMeta> | null;
  try {
    meta = readMeta(dir);
  } catch (error) {
    throw wrong((error as Error).message);
  }
  if (meta?.format !== FORMAT) throw wrong(`format ${meta?.format}, this program reads ${FORMAT}`);
  const names = meta.feature_names;
  const isNames = Array.isArray(names) && names.length > 0 && names.every((name) => typeof name === "string");
  if (!isNames || names.length > COLUMNS_MAX) throw wrong(`feature_names must be 1 to ${COLUMNS_MAX} names`);
  const { rows } = meta;
  if (rows === undefined || !Number.isSafeInteger(rows) || rows < 0) throw wrong("rows must be a whole number");
  if (rows === 0) return meta as ExportMeta;
  const file = join(dir, "features.f32");
  const bytes = existsSync(file) ? statSync(file).size : 0;
  if (bytes !== rows * names.length * 4) {
    throw wrong(`${rows} rows of ${names.length} features, but features.f32 holds ${bytes} bytes`);
  }
  return meta as ExportMeta;
}

export interface CheckOptions {
  /** Only features of this group, and pairs with one of it. */
  readonly group?: FeatureGroup | undefined;
  readonly signal: AbortSignal;
  /** Told the rows read so far and in all. */
  readonly onRows?: (done: number, total: number) => void;
}

/** Reads the exports at `path` as one and checks them. Throws UnreadableExport. */
export async function checkExports(path: string, o: CheckOptions): Promise<FeatureCheck> {
  const exports = exportFolders(path);
  const metas = exports.map(checkedMeta);
  const names = metas[0].feature_names;
  const other = metas.findIndex((m) => m.feature_names.join() !== names.join());
  if (other !== -1) throw new UnreadableExport(`${exports[other]} has other features than ${exports[0]}`);
  const total = metas.reduce((sum, m) => sum + m.rows, 0);
  if (total === 0) throw new UnreadableExport(`${path} holds no payments`);
  const profile = new FeatureProfile(names.length);
  for (const dir of exports) {
    for (const { matrix, n } of readExport(dir)) {
      profile.add(matrix, n);
      o.onRows?.(profile.rows, total);
      // Lets signals in: the work itself never waits.
      await breathe();
      o.signal.throwIfAborted();
    }
  }
  const filled = metas.filter((m) => m.rows > 0);
  const from_us = Math.min(...filled.map((m) => m.from_us));
  const to_us = Math.max(...filled.map((m) => m.to_us));
  return { exports, rows: total, from_us, to_us, ...judge(profile, names, o.group) };
}

const GROUP_OF = new Map(FEATURES.map((f) => [f.name, f.group]));

/** What a profile shows of the features named so, and what is wrong with them. */
export function judge(
  profile: FeatureProfile,
  names: readonly string[],
  group?: FeatureGroup,
): Pick<FeatureCheck, "features" | "correlated" | "warnings"> {
  const isAsked = (name: string): boolean => group === undefined || GROUP_OF.get(name) === group;
  const features = names
    .map((name, column): CheckedFeature => {
      const held = profile.column(column);
      const present_share = held.present / profile.rows;
      return { column, name, group: GROUP_OF.get(name) ?? null, present_share, ...held };
    })
    .filter((f) => isAsked(f.name));
  const correlated: CorrelatedPair[] = [];
  for (let a = 0; a < names.length; a++) {
    for (let b = a + 1; b < names.length; b++) {
      if (!isAsked(names[a]) && !isAsked(names[b])) continue;
      const correlation = profile.correlation(a, b);
      if (!(Math.abs(correlation) > CORRELATION_MAX)) continue;
      correlated.push({ features: [names[a], names[b]], correlation, rows: profile.rowsOfPair(a, b) });
    }
  }
  correlated.sort((p, q) => Math.abs(q.correlation) - Math.abs(p.correlation));
  return { features, correlated, warnings: [...features.flatMap(ofFeature), ...correlated.map(ofPair)] };
}

function ofFeature(f: CheckedFeature): FeatureWarning[] {
  const found: FeatureWarning[] = [];
  const add = (kind: FeatureWarning["kind"], text: string): void => {
    found.push({ kind, features: [f.name], text: `${f.name} ${text}` });
  };
  const share = `${(100 * f.present_share).toPrecision(2)} %`;
  if (f.present === 0) add("rare", "is never present");
  else if (f.present_share < PRESENT_SHARE_MIN) add("rare", `is present on only ${share} of the payments`);
  if (f.is_constant) add("constant", `is ${f.minimum} on every payment that has it`);
  if (f.infinite > 0) add("infinite", `is infinite on ${f.infinite} payments`);
  return found;
}

function ofPair(p: CorrelatedPair): FeatureWarning {
  const [a, b] = p.features;
  const text = `${a} and ${b} correlate at ${p.correlation.toFixed(6)} over ${p.rows} payments`;
  return { kind: "correlated", features: p.features, text };
}
