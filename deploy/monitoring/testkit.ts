/** Exports on disk for the monitor's tests, and a report of the run over them. */
import { FeatureExport, LABEL_NONE } from "../../actors/inference/feature_export.ts";
import { Prng } from "../demo/prng.ts";
import { ExportFolder } from "../python/export_folder.ts";

/** 2026-01-05, a Monday. */
export const START_US = Date.parse("2026-01-05T00:00:00Z") * 1000;
export const HOUR_US = 3_600e6;
export const DAY_US = 24 * HOUR_US;
export const NAMES = ["amount", "hour", "channel_code", "user_speed_kmh"];

export interface MadePayment {
  readonly time_us: number;
  readonly values: readonly number[];
  /** LABEL_NONE without it. */
  readonly label?: number;
}

/** Writes an export of these payments. */
export function writeExport(dir: string, payments: readonly MadePayment[], names: readonly string[] = NAMES): void {
  const folder = new ExportFolder(dir);
  const to = new FeatureExport(folder, "a test", names);
  const n = payments.length;
  const matrix = Float32Array.from(payments.flatMap((p) => p.values));
  const times_us = Float64Array.from(payments, (p) => p.time_us);
  to.append(matrix, n, times_us, { hi: new Uint32Array(n), lo: Uint32Array.from(payments, (_, r) => r) });
  payments.forEach((p, r) => {
    to.label(r, p.label ?? LABEL_NONE);
  });
  to.finish();
  folder.close();
}

/** One payment every `step_us` from START_US on: random amounts times `scale`, speeds missing on a tenth. */
export function madePayments(n: number, seed: number, step_us: number, scale = 1): MadePayment[] {
  const random = new Prng(seed, "payments");
  return Array.from({ length: n }, (_, r) => {
    const time_us = START_US + r * step_us;
    const hour = Math.floor((time_us % DAY_US) / HOUR_US);
    const speed = random.float() < 0.1 ? Number.NaN : random.float() * 100;
    return { time_us, values: [Math.round(-3000 * Math.log(1 - random.float()) * scale), hour, r % 3, speed] };
  });
}
