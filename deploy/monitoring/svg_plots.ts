/**
 * The plots of the monitor's page as inline SVG: bars of the PSI, histograms of the scores, the reliability diagram.
 * Colours are the page's (classes), so that they fit light and dark. Most scores lie near 0: the axes grow with the
 * square root, which shows 0 too, and the histograms' with the logarithm.
 */
import type { ReliabilityBin } from "../metrics/calibration.ts";
import type { ColumnDrift } from "./column_drift.ts";
import { type Markup, markup } from "./markup.ts";

const BAR_HEIGHT = 18;
const NAME_WIDTH = 230;
const BARS_WIDTH = 420;
const VALUE_WIDTH = 80;
/** Of the plots with two axes: the frame, and the room around it for labels. */
const FRAME = { left: 64, top: 12, width: 560, height: 300, bottom: 46, right: 26 } as const;
const SHARES = [0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1];
/** Decades of the histograms' axis: from 0.001 % on. */
const DECADES = 5;
const SCORES = [0, 0.2, 0.4, 0.6, 0.8, 1];

const at = (x: number): string => x.toFixed(1);
const percent = (share: number): string => `${Number((100 * share).toPrecision(3))} %`;

/** Bars of the PSI of columns, in the order given, with the limit as a line. */
export function stabilityBars(columns: readonly ColumnDrift[], limit: number): Markup {
  const largest = Math.max(limit, ...columns.map((c) => c.psi)) || 1;
  // By the square root, or one column that moved a lot would hide all others.
  const x = (psi: number): number => NAME_WIDTH + BARS_WIDTH * Math.sqrt(psi / largest);
  const foot = columns.length * BAR_HEIGHT;
  const bars = columns.map((c, i) => {
    const y = i * BAR_HEIGHT;
    const kind = c.psi >= limit ? "bar past" : "bar";
    const title = `${c.name}: PSI ${c.psi.toFixed(4)} (no unit), by chance ${c.psi_by_chance.toFixed(4)}`;
    return markup`<g><title>${title}</title>
<text x="${NAME_WIDTH - 6}" y="${y + 13}" text-anchor="end">${c.name}</text>
<rect class="${kind}" x="${NAME_WIDTH}" y="${y + 3}" width="${at(x(c.psi) - NAME_WIDTH)}" height="${BAR_HEIGHT - 6}"/>
<text x="${at(x(c.psi) + 6)}" y="${y + 13}">${c.psi.toFixed(3)}</text></g>
`;
  });
  const line = at(x(limit));
  const right = NAME_WIDTH + BARS_WIDTH;
  return markup`<svg class="plot" viewBox="0 0 ${right + VALUE_WIDTH} ${foot + 52}" role="img"
 aria-label="Population stability index by column">
${bars}<line class="limit" x1="${line}" y1="0" x2="${line}" y2="${foot + 4}"/>
<text x="${line}" y="${foot + 18}" text-anchor="middle">alert from ${limit}</text>
<text class="axis" x="${right}" y="${foot + 40}" text-anchor="end">PSI (no unit, square root axis)</text>
</svg>`;
}

// Places of a position 0..1 along an axis.
const plotX = (position: number): number => FRAME.left + FRAME.width * position;
const plotY = (position: number): number => FRAME.top + FRAME.height * (1 - position);

interface Tick {
  readonly position: number;
  readonly text: string;
}

interface Axes {
  /** For who cannot see the plot. */
  readonly name: string;
  readonly x: { readonly title: string; readonly ticks: readonly Tick[] };
  readonly y: { readonly title: string; readonly ticks: readonly Tick[] };
}

function frame(axes: Axes, inside: readonly Markup[]): Markup {
  const { left, top, width, height, bottom, right } = FRAME;
  const rows = axes.y.ticks.map(({ position, text }) => {
    const y = plotY(position);
    return markup`<line class="grid" x1="${left}" y1="${at(y)}" x2="${left + width}" y2="${at(y)}"/>
<text x="${left - 6}" y="${at(y + 4)}" text-anchor="end">${text}</text>
`;
  });
  const foot = top + height;
  const columns = axes.x.ticks.map(({ position, text }) => {
    return markup`<text x="${at(plotX(position))}" y="${foot + 18}" text-anchor="middle">${text}</text>
`;
  });
  const middle = top + height / 2;
  return markup`<svg class="plot" viewBox="0 0 ${left + width + right} ${foot + bottom}" role="img"
 aria-label="${axes.name}">
${rows}${columns}${inside}
<text class="axis" x="${left + width / 2}" y="${foot + 38}" text-anchor="middle">${axes.x.title}</text>
<text class="axis" x="14" y="${middle}" text-anchor="middle" transform="rotate(-90 14 ${middle})">${axes.y.title}</text>
</svg>`;
}

/** Shares of the payments by score, both sides as steps; the counts are of equal parts of 0..1. */
export function scoreHistograms(reference: readonly number[], current: readonly number[]): Markup {
  const position = (share: number): number => (share > 0 ? Math.max(0, 1 + Math.log10(share) / DECADES) : 0);
  const steps = (counts: readonly number[], kind: string): Markup => {
    const all = counts.reduce((sum, n) => sum + n, 0) || 1;
    const points = counts.flatMap((n, i) =>
      [i, i + 1].map((edge) => `${at(plotX(edge / counts.length))},${at(plotY(position(n / all)))}`),
    );
    return markup`<polyline class="${kind}" points="${points.join(" ")}"/>
`;
  };
  const shares = Array.from({ length: DECADES + 1 }, (_, d) => 10 ** (d - DECADES));
  const axes = {
    name: "Histograms of the scores",
    x: { title: "score (share, 0 to 1)", ticks: SCORES.map((s) => ({ position: s, text: String(s) })) },
    y: {
      title: "payments (share, logarithmic; 0 at the foot)",
      ticks: shares.map((share) => ({ position: position(share), text: percent(share) })),
    },
  };
  return frame(axes, [steps(reference, "line reference"), steps(current, "line current")]);
}

/** Mean score and share of frauds of each bin with its 95 % interval, both sides; on the diagonal scores are right. */
export function reliabilityDiagram(reference: readonly ReliabilityBin[], current: readonly ReliabilityBin[]): Markup {
  const highest = Math.max(
    0,
    ...[...reference, ...current].flatMap((b) => [b.mean_score, b.fraud_share_interval?.[1] ?? b.fraud_share]),
  );
  const end = SHARES.find((share) => share > 0 && share >= highest) ?? 1;
  const position = (share: number): number => Math.sqrt(share / end);
  const [x, y] = [(share: number): string => at(plotX(position(share))), (share: number) => at(plotY(position(share)))];
  const points = (bins: readonly ReliabilityBin[], kind: string): Markup[] =>
    bins.map((b) => {
      const [low, high] = b.fraud_share_interval ?? [b.fraud_share, b.fraud_share];
      const title = `mean score ${percent(b.mean_score)}, frauds ${percent(b.fraud_share)} of ${b.payments} payments`;
      return markup`<g class="${kind}"><title>${title}, 95 % ${percent(low)} to ${percent(high)}</title>
<line x1="${x(b.mean_score)}" y1="${y(low)}" x2="${x(b.mean_score)}" y2="${y(high)}"/>
<circle cx="${x(b.mean_score)}" cy="${y(b.fraud_share)}" r="4"/></g>
`;
    });
  const ticks = SHARES.filter((s) => s <= end).map((s) => ({ position: position(s), text: percent(s) }));
  const axes = {
    name: "Reliability diagram",
    x: { title: "mean score of the bin (square root axis)", ticks },
    y: { title: "frauds among known payments (square root axis)", ticks },
  };
  const diagonal = markup`<line class="limit" x1="${x(0)}" y1="${y(0)}" x2="${x(end)}" y2="${y(end)}"/>
`;
  return frame(axes, [diagonal, ...points(reference, "point reference"), ...points(current, "point current")]);
}
