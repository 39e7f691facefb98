/** One scrape of the node's metrics, by name and labels. */
export class Metrics {
  readonly #values = new Map<string, [Record<string, string>, number][]>();

  /** `text`: the Prometheus exposition format. */
  constructor(text: string) {
    for (const line of text.split("\n")) {
      const found = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
      if (found === null) continue;
      const [, name = "", labels = "", value = ""] = found;
      const all = this.#values.get(name) ?? [];
      const pairs = labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g);
      all.push([Object.fromEntries([...pairs].map((p) => [p[1], p[2]])), Number(value)]);
      this.#values.set(name, all);
    }
  }

  /** Sum of the samples that have these labels; NaN when there is none. */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number {
    const all = this.#values.get(name)?.filter(([l]) => Object.entries(labels).every(([k, v]) => l[k] === v)) ?? [];
    return all.length === 0 ? Number.NaN : all.reduce((sum, [, value]) => sum + value, 0);
  }

  /** Values of one label with the sums of their samples. */
  by(name: string, label: string): Record<string, number> {
    const sums: Record<string, number> = {};
    for (const [labels, value] of this.#values.get(name) ?? []) {
      const of = labels[label] ?? "";
      sums[of] = (sums[of] ?? 0) + value;
    }
    return sums;
  }
}
