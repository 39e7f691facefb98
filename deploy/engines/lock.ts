/**
 * Lock files that survive kill -9 of their holder: a lock names its holder's process and start time, so a lock left
 * by a dead process is recognised (also when the process id was given to another process) and taken over.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { link, readFile, rename, rm, writeFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { codeOf } from "./errors.ts";
import { randomName } from "./files.ts";

/** A process, told apart from a later one with the same id. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Opaque start time. */
  readonly started: string;
}

/** What a lock file holds. */
export interface LockHolder extends ProcessIdentity {
  /** Random, so that a lock is only released by who took it. */
  readonly token: string;
  /** The engine process that works under this lock, once started. */
  readonly engine?: ProcessIdentity;
}

/** A held lock. */
export interface Lock {
  /** The dead holder whose lock was taken over, if any: its engine may still live. */
  readonly replaced: LockHolder | undefined;
  /** Records the engine process that works under this lock. */
  setEngine(engine: ProcessIdentity): Promise<void>;
  release(): Promise<void>;
}

/** The start time of a live process, or undefined when it is gone (a zombie counts as gone). */
export function startedAt(pid: number): string | undefined {
  if (process.platform !== "linux") return startedAtByPs(pid);
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined;
  }
  // The second field is the command in brackets and may hold anything; the state follows the last bracket.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
}

function startedAtByPs(pid: number): string | undefined {
  try {
    const text = execFileSync("ps", ["-o", "lstart=", "-p", String(pid)], { encoding: "utf8" }).trim();
    return text === "" ? undefined : text;
  } catch {
    return undefined;
  }
}

/** The identity of a live process. */
export function identify(pid: number): ProcessIdentity | undefined {
  const started = startedAt(pid);
  return started === undefined ? undefined : { pid, started };
}

/** True while that very process lives. */
export function isAlive(who: ProcessIdentity): boolean {
  return startedAt(who.pid) === who.started;
}

/** Who holds a lock, dead or alive; undefined when nobody does. */
export async function readLock(path: string): Promise<LockHolder | undefined> {
  try {
    return holderIn(await readFile(path, "utf8"));
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/**
 * A lock appears with its content, so one that names no holder lost it in a power cut, which ended its holder, too: it
 * reads as one of a process that is dead.
 */
function holderIn(text: string): LockHolder {
  let found: Partial<LockHolder> | null = null;
  try {
    found = JSON.parse(text) as Partial<LockHolder> | null;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  const { pid, started, token } = found ?? {};
  if (typeof pid === "number" && typeof started === "string" && typeof token === "string") return found as LockHolder;
  return { pid: 0, started: "", token: "lost" };
}

/** Tries once. Gives the lock, or the live holder in the way. A dead holder's lock is taken over. */
export async function tryLock(path: string): Promise<Lock | LockHolder> {
  const self = identify(process.pid);
  if (self === undefined) throw new Error("the own process has no start time");
  const holder: LockHolder = { ...self, token: randomName() };
  const temporary = `${path}.${holder.token}`;
  await writeFile(temporary, JSON.stringify(holder));
  let replaced: LockHolder | undefined;
  try {
    // link() fails when the lock exists, and makes it appear with its content: no reader sees an empty lock.
    for (let attempt = 0; attempt < 200; attempt++) {
      try {
        await link(temporary, path);
        return heldLock(path, holder, replaced);
      } catch (error) {
        if (codeOf(error) !== "EEXIST") throw error;
      }
      const current = await readLock(path);
      if (current === undefined) continue;
      if (isAlive(current)) return current;
      await removeStale(path, current.token);
      replaced = current;
    }
    throw new Error(`${path}: the lock changes hands faster than it can be read`);
  } finally {
    await rm(temporary, { force: true });
  }
}

/** Waits for the lock until the deadline; undefined when it stayed held. */
export async function lock(path: string, timeout_ms: number): Promise<Lock | undefined> {
  const deadline_ms = performance.now() + timeout_ms;
  for (;;) {
    const got = await tryLock(path);
    if ("release" in got) return got;
    if (performance.now() > deadline_ms) return undefined;
    await delay(50);
  }
}

/**
 * Removes a dead holder's lock, under a lock of its own: between reading the token and removing the file nobody else
 * may do so, or a new holder's lock could go. Does nothing when another process is at it.
 */
async function removeStale(path: string, token: string): Promise<void> {
  const guard = await tryLock(`${path}.${token}.over`);
  if (!("release" in guard)) {
    await delay(5);
    return;
  }
  try {
    if ((await readLock(path))?.token === token) await rm(path, { force: true });
  } finally {
    await guard.release();
  }
}

function heldLock(path: string, holder: LockHolder, replaced: LockHolder | undefined): Lock {
  return {
    replaced,
    async setEngine(engine) {
      const temporary = `${path}.${randomName()}`;
      await writeFile(temporary, JSON.stringify({ ...holder, engine }));
      await rename(temporary, path);
    },
    async release() {
      if ((await readLock(path))?.token === holder.token) await rm(path, { force: true });
    },
  };
}
