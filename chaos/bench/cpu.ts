/** Processor time of whole processes with all their threads, from /proc. */
import { readFileSync } from "node:fs";

/** Linux counts in ticks of USER_HZ, which is 100 on every architecture that Node runs on. */
const TICK_US = 10_000;

/** Microseconds of user and system time since the process began; NaN where there is no such process or no /proc. */
export function cpuUs(pid: number): number {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The command in parentheses may hold anything: fields are counted behind it.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) * TICK_US;
  } catch {
    return Number.NaN;
  }
}

/** Resident memory of a process, bytes; NaN without one. */
export function residentBytes(pid: number): number {
  try {
    const found = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
    return found === null ? Number.NaN : Number(found[1]) * 1024;
  } catch {
    return Number.NaN;
  }
}
