/**
 * Loaded before a drill's node (node --import): the one line of the node's clock adapter that reads the wall clock is
 * edited in memory, so that the wall clock stands as far off as a file says. The monotonic clock is left alone, as it
 * is when somebody sets a machine's clock. The files of the checkout stay as they are.
 */
import { readFileSync, watchFile } from "node:fs";
import { registerHooks } from "node:module";

/** Environment variable: the file with the offset in milliseconds. */
export const CLOCK_FILE = "FRAUDGUARD_DRILL_CLOCK";
/** A change of the file counts after at most this, milliseconds. */
export const CLOCK_POLL_MS = 100;

const ADAPTER = "/deploy/node/system_clock.ts";
const LINE = "wallUs: () => Date.now() * 1000,";
const EDITED = "wallUs: () => (Date.now() + globalThis.drillClockOffsetMs) * 1000,";

function obey(file: string): void {
  const offset = { drillClockOffsetMs: 0 };
  const read = (): void => {
    offset.drillClockOffsetMs = Number(readFileSync(file, "utf8"));
    Object.assign(globalThis, offset);
  };
  read();
  watchFile(file, { interval: CLOCK_POLL_MS, persistent: false }, read);
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      if (!url.endsWith(ADAPTER)) return loaded;
      const parts = String(loaded.source).split(LINE);
      if (parts.length !== 2) throw new Error(`${ADAPTER}: the line to change stands there ${parts.length - 1} times`);
      return { ...loaded, source: parts.join(EDITED) };
    },
  });
}

const file = process.env[CLOCK_FILE];
if (file !== undefined) obey(file);
