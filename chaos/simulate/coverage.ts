/**
 * Which functions and branches of the product ran, from V8's precise counters, in the way Node's test runner counts
 * them: a branch is a block range that V8 tells apart, covered when it ran at least once in any process.
 */
import { Session } from "node:inspector/promises";

/** Ranges by "file start end" with 1 where they ran. Only what lies in FOLDERS. */
export type Ranges = Record<string, number>;

const FOLDERS = ["runtime/", "actors/decision/", "actors/entity/", "actors/user/"];

export class CoverageMeter {
  readonly #root: string;
  readonly #session = new Session();

  private constructor(root: string) {
    this.#root = root;
    this.#session.connect();
  }

  /** To be called before the modules are loaded that are to be counted. `root`: file URL of the checkout, with "/". */
  static async start(root: string): Promise<CoverageMeter> {
    const meter = new CoverageMeter(root);
    await meter.#session.post("Profiler.enable");
    await meter.#session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
    return meter;
  }

  /** Ends the count: it slows what it counts. */
  async take(): Promise<Ranges> {
    const { result } = await this.#session.post("Profiler.takePreciseCoverage");
    await this.#session.post("Profiler.stopPreciseCoverage");
    this.#session.disconnect();
    const ranges: Ranges = {};
    for (const { url, functions } of result) {
      const file = url.startsWith(this.#root) ? url.slice(this.#root.length) : "";
      const counts = FOLDERS.some((f) => file.startsWith(f)) && !/testkit|\.test\.ts$|runtime\/nats/.test(file);
      if (!counts) continue;
      for (const f of functions) {
        for (const { startOffset, endOffset, count } of f.ranges) {
          const key = `${file} ${startOffset} ${endOffset}`;
          ranges[key] = Math.max(ranges[key] ?? 0, Math.min(1, count));
        }
      }
    }
    return ranges;
  }
}

/** Adds what another process ran. */
export function addRanges(into: Ranges, more: Ranges): void {
  for (const [key, ran] of Object.entries(more)) into[key] = Math.max(into[key] ?? 0, ran);
}

export interface CoverageSummary {
  readonly branches: number;
  readonly covered: number;
  /** Share of branches that ran, by file, least first; 0..1. */
  readonly files: readonly { readonly file: string; readonly branches: number; readonly covered: number }[];
}

export function summarise(ranges: Ranges): CoverageSummary {
  const files = new Map<string, { branches: number; covered: number }>();
  for (const [key, ran] of Object.entries(ranges)) {
    const file = key.slice(0, key.indexOf(" "));
    const sum = files.get(file) ?? { branches: 0, covered: 0 };
    sum.branches++;
    sum.covered += ran;
    files.set(file, sum);
  }
  const rows = [...files].map(([file, sum]) => ({ file, ...sum }));
  rows.sort((a, b) => a.covered / a.branches - b.covered / b.branches);
  const total = (pick: (r: (typeof rows)[number]) => number) => rows.reduce((sum, r) => sum + pick(r), 0);
  return { branches: total((r) => r.branches), covered: total((r) => r.covered), files: rows };
}
