/**
 * What the commands share in reading their arguments: days, whole numbers, and how they end when one is wrong.
 */
const DAY_US = 86_400e6;

/** A wrong argument: the command prints it with its help and ends with 2. */
export class WrongArgument extends Error {
  override name = "WrongArgument";
}

/** Midnight UTC of a day YYYY-MM-DD, microseconds. Throws WrongArgument. */
export function dayStartUs(name: string, text: string | undefined): number {
  const ms = text === undefined || !/^\d{4}-\d\d-\d\d$/.test(text) ? Number.NaN : Date.parse(`${text}T00:00:00Z`);
  if (Number.isNaN(ms)) throw new WrongArgument(`--${name} takes a day, e.g. 2018-08-08`);
  return ms * 1000;
}

/** The end of a day (exclusive), microseconds. */
export function dayEndUs(name: string, text: string | undefined): number {
  return dayStartUs(name, text) + DAY_US;
}

/** A number in [min, max]. Throws WrongArgument. */
export function numberIn(name: string, text: string, min: number, max: number): number {
  const n = Number(text);
  if (text.trim() === "" || !(n >= min && n <= max)) {
    throw new WrongArgument(`--${name} takes a number from ${min} to ${max}`);
  }
  return n;
}

export function wholeIn(name: string, text: string, min: number, max: number): number {
  const n = numberIn(name, text, min, max);
  if (!Number.isInteger(n)) throw new WrongArgument(`--${name} takes a whole number`);
  return n;
}

/** The value of an option that must be given. */
export function given(name: string, value: string | undefined): string {
  if (value === undefined || value === "") throw new WrongArgument(`--${name} is required`);
  return value;
}

/** Runs a command: 0 done, 1 failed, 2 wrong arguments (with the help), 130 when it was interrupted. */
export async function runCommand(help: string, main: (interrupted: AbortSignal) => Promise<void>): Promise<void> {
  const controller = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    // A second one ends at once; the node of the command ends with it.
    process.on(signal, () => (controller.signal.aborted ? process.exit(130) : controller.abort(new Interrupted())));
  }
  try {
    if (process.argv.slice(2).includes("--help")) process.stdout.write(`${help}\n`);
    else await main(controller.signal);
    process.exitCode = 0;
  } catch (error) {
    const e = error as Error;
    const wrong =
      e instanceof WrongArgument || (e as NodeJS.ErrnoException).code?.startsWith("ERR_PARSE_ARGS") === true;
    process.stderr.write(`${e.message}\n${wrong ? `\n${help}\n` : ""}`);
    process.exitCode = wrong ? 2 : e instanceof Interrupted ? 130 : 1;
  }
  process.exit();
}

/** The user ended the command; what was done so far stands. */
export class Interrupted extends Error {
  override name = "Interrupted";
  constructor() {
    super("interrupted");
  }
}
