/** Owns the log of a node: JSON lines on stdout (or a given stream) by pino; credentials never get into a line. */
import { type DestinationStream, type Logger, pino } from "pino";

export type { Logger } from "pino";

/** Paths whose values are replaced in every line. */
const SECRET_PATHS = [
  "authorization",
  "api_key",
  "headers.authorization",
  "req.headers.authorization",
  "*.authorization",
  "*.api_key",
  "*.hash_key",
  "*.seal_key",
];

export interface LogOptions {
  readonly name: string;
  readonly level?: string;
  readonly to?: DestinationStream;
}

export function createLog(options: LogOptions): Logger {
  const settings = {
    name: options.name,
    level: options.level ?? "info",
    base: { name: options.name },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: { paths: SECRET_PATHS, censor: "[redacted]" },
  };
  return options.to === undefined ? pino(settings) : pino(settings, options.to);
}
