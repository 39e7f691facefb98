/**
 * A progress line for long commands: share done, rate, time left. On a terminal one line is redrawn; elsewhere (a log,
 * a pipe) a whole line is written now and then. It writes to the stream it is given and reads the clock it is given.
 */

export interface ProgressStream {
  readonly isTTY?: boolean;
  /** Width of the terminal, characters. */
  readonly columns?: number;
  write(text: string): unknown;
}

export interface ProgressOptions {
  /** What is under way, e.g. `importing`. */
  readonly label: string;
  /** Plural of what is counted, e.g. `payments`. */
  readonly unit: string;
  /** Units in all; undefined when not known beforehand: no share and no time left are shown. */
  readonly total?: number | undefined;
  /** Units done before this run, for a resumed job: they count in the share and not in the rate. */
  readonly start?: number;
  readonly stream: ProgressStream;
  /** Monotonic clock, microseconds. */
  readonly now_us: () => number;
  /** Least time between two lines; 100 ms on a terminal, 5 s elsewhere by default. */
  readonly interval_us?: number;
}

const BAR_CELLS = 24;

export class Progress {
  readonly #o: ProgressOptions;
  readonly #tty: boolean;
  readonly #interval_us: number;
  readonly #started_us: number;
  readonly #start: number;
  #drawn_us: number;
  #done: number;
  #note = "";
  #finished = false;

  constructor(options: ProgressOptions) {
    this.#o = options;
    this.#tty = options.stream.isTTY === true;
    this.#interval_us = options.interval_us ?? (this.#tty ? 100_000 : 5_000_000);
    this.#started_us = options.now_us();
    this.#drawn_us = this.#started_us;
    this.#start = options.start ?? 0;
    this.#done = this.#start;
  }

  /** Sets the units done so far, in all, and a short note behind them; draws when the interval has passed. */
  update(done: number, note = ""): void {
    this.#done = done;
    this.#note = note;
    const now_us = this.#o.now_us();
    if (this.#finished || now_us - this.#drawn_us < this.#interval_us) return;
    this.#drawn_us = now_us;
    this.#draw(now_us, false);
  }

  /** Draws the last line and ends it. Later calls write nothing. */
  finish(note = ""): void {
    if (this.#finished) return;
    this.#finished = true;
    if (note !== "") this.#note = note;
    this.#draw(this.#o.now_us(), true);
  }

  #draw(now_us: number, last: boolean): void {
    const text = this.#line(now_us, last);
    if (!this.#tty) this.#o.stream.write(`${text}\n`);
    else this.#o.stream.write(`\r\u001b[2K${text.slice(0, (this.#o.stream.columns ?? 120) - 1)}${last ? "\n" : ""}`);
  }

  #line(now_us: number, last: boolean): string {
    const { label, unit, total } = this.#o;
    const elapsed_s = (now_us - this.#started_us) / 1e6;
    const rate = elapsed_s > 0 ? (this.#done - this.#start) / elapsed_s : 0;
    const parts = [`${label}`];
    if (total !== undefined && total > 0) {
      const share = Math.min(this.#done / total, 1);
      if (this.#tty) parts.push(bar(share));
      parts.push(`${(share * 100).toFixed(1)}%`, `${count(this.#done)}/${count(total)} ${unit}`);
    } else parts.push(`${count(this.#done)} ${unit}`);
    parts.push(`${count(Math.round(rate))}/s`);
    if (last) parts.push(`in ${duration(elapsed_s)}`);
    else if (total !== undefined && rate > 0) parts.push(`${duration(Math.max(total - this.#done, 0) / rate)} left`);
    if (this.#note !== "") parts.push(this.#note);
    return parts.join("  ");
  }
}

function bar(share: number): string {
  const filled = Math.floor(share * BAR_CELLS);
  return `[${"#".repeat(filled)}${"-".repeat(BAR_CELLS - filled)}]`;
}

/** 1234567 as 1,234,567. */
export function count(n: number): string {
  return String(n).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** Seconds as 0.4 s, 42 s, 3 min 07 s, 2 h 05 min. */
export function duration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}
