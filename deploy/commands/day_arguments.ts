/**
 * Days as commands take them, by format: dates, or for data without dates the number that the data count, of days, of
 * rows or of steps. Both are turned into event times.
 */
import type { ColumnMapping } from "../datasets/mapping.ts";
import { timeUnitUs } from "../datasets/mapping.ts";
import { dayStartUs, numberIn, WrongArgument, wholeIn } from "./arguments.ts";

const DAY_US = 86_400e6;
const DAYS_MAX = 365;

/** The days of one command over the data paths of a format. */
export class DayArguments {
  readonly #mapping: ColumnMapping;
  /** Length of a day, a row or a step, microseconds. */
  readonly #unit_us: number;

  constructor(mapping: ColumnMapping) {
    this.#mapping = mapping;
    this.#unit_us = mapping.days === undefined ? DAY_US : timeUnitUs(mapping.columns.eventTimeUs?.unit);
  }

  /**
   * Event time at which a day begins, microseconds. `part` is the data path it counts in, where the format keeps them
   * apart; there a missing day is the first. Throws WrongArgument.
   */
  startUs(name: string, text: string | undefined, part = 0): number {
    const { apart_us, days } = this.#mapping;
    if (days === undefined) return dayStartUs(name, text) + part * (apart_us ?? 0);
    return this.#timeUs(this.#count(name, text ?? (apart_us === undefined ? "" : "0")), part);
  }

  /** The end of a day (exclusive); where a format keeps paths apart a missing one is the last that has room. */
  endUs(name: string, text: string | undefined, part = 0): number {
    const { apart_us, days } = this.#mapping;
    if (days === undefined) return this.startUs(name, text, part) + DAY_US;
    if (text === undefined && apart_us !== undefined) return this.#timeUs(Math.floor(apart_us / this.#unit_us), part);
    return this.startUs(name, text, part) + this.#unit_us;
  }

  /** Days until a label is known, from one of --label-delay-days and --label-delay-rows; 7 days without both. */
  labelDelayDays(days: string | undefined, rows: string | undefined): number {
    if (rows === undefined) return days === undefined ? 7 : numberIn("label-delay-days", days, 0, DAYS_MAX);
    if (days !== undefined) throw new WrongArgument("give one of --label-delay-days and --label-delay-rows");
    if (this.#mapping.days !== "row") {
      throw new WrongArgument(`--label-delay-rows is for formats that count rows; ${this.#mapping.name} does not`);
    }
    const max = Math.floor((DAYS_MAX * DAY_US) / this.#unit_us);
    return (wholeIn("label-delay-rows", rows, 0, max) * this.#unit_us) / DAY_US;
  }

  #timeUs(count: number, part: number): number {
    const { columns, apart_us = 0 } = this.#mapping;
    return count * this.#unit_us + (columns.eventTimeUs?.offset_us ?? 0) + part * apart_us;
  }

  #count(name: string, text: string): number {
    const { days, apart_us = 100 * 365 * DAY_US, name: format } = this.#mapping;
    const max = Math.floor(apart_us / this.#unit_us) - 1;
    const count = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (count <= max) return count;
    const example = { day: "62", row: "46728", step: "1" }[days!];
    throw new WrongArgument(
      `--${name} takes the number of a ${days} with --format ${format}, 0 to ${max}, e.g. --${name} ${example}` +
        `${text === "" ? "" : `; given was ${text}`}`,
    );
  }
}
