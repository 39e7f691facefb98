/**
 * One local engine process: started on loopback over its own data folder, held by one process at a time, awaited until
 * it is ready, stopped by process id, and ended with its parent even when the parent is killed with -9.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, renameSync, statSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { EngineError, messageOf } from "./errors.ts";
import { identify, isAlive, type Lock, type ProcessIdentity, tryLock } from "./lock.ts";
import { freePort } from "./ports.ts";

/** How an engine process ended; a signal counts as code 128 + its number, as in a shell. */
export interface EngineExit {
  readonly code: number;
}

/** A running engine. */
export interface Engine {
  readonly name: string;
  /** Process id of the engine itself: what a drill kills. */
  readonly pid: number;
  /** Always loopback. */
  readonly host: string;
  readonly port: number;
  /** For clients; holds the password where there is one. */
  readonly url: string;
  /** As the binary reports it. */
  readonly version: string;
  readonly data_dir: string;
  readonly log_file: string;
  /** Resolves when the process has ended, for whatever reason. */
  readonly exited: Promise<EngineExit>;
  /** Asks the engine to end, kills it after `grace_ms`, and resolves when it is gone. Can be called again. */
  stop(grace_ms?: number): Promise<void>;
}

/** What every engine takes. */
export interface EngineOptions {
  /** The folder for its data; made when missing. */
  readonly data_dir?: string;
  /** Wanted port, default the engine's own; a free one when taken; 0 for any free one. */
  readonly port?: number;
  /** Deadline for readiness, recovery of its data included. */
  readonly ready_ms?: number;
  /** Called with one line before anything slow. */
  readonly progress?: (line: string) => void;
}

/** How to run one engine; filled in by nats.ts, redis.ts and postgres.ts. */
export interface Launch {
  readonly name: string;
  readonly data_dir: string;
  readonly port: number;
  readonly ready_ms: number;
  readonly stopSignal: "TERM" | "INT";
  /** Writes what the engine needs for this port and gives its command line. */
  prepare(port: number): Promise<LaunchCommand>;
  /** Resolves when the engine answers and is this very process; rejects to be asked again. */
  ready(port: number, pid: number): Promise<void>;
}

/** A command line and the account it runs under. */
export interface LaunchCommand {
  readonly command: readonly string[];
  /** A command that runs the rest with other rights. */
  readonly wrapper?: readonly string[];
  readonly uid?: number;
  readonly gid?: number;
  readonly env?: NodeJS.ProcessEnv;
}

/** A launched process that is ready. */
export interface Running {
  readonly pid: number;
  readonly port: number;
  readonly log_file: string;
  readonly exited: Promise<EngineExit>;
  stop(grace_ms?: number): Promise<void>;
}

const GRACE_MS = 10_000;
/** A port found free can be taken before the engine binds it: then another one is tried. */
const PORT_ATTEMPTS = 3;
const LOCK_FILE = "engine.lock";
const LOG_BYTES_MAX = 8 << 20;
const READY_POLL_MS = 20;
const END_POLL_MS = 20;
/** How long a process may take to vanish after SIGKILL. */
const KILL_MS = 10_000;
/** Given to `sh -c` as text: the account that runs the engine need not be able to read the checkout. */
const SUPERVISOR = readFileSync(join(import.meta.dirname, "supervisor.sh"), "utf8");

/** Starts an engine and resolves when it is ready. The data folder is held until the engine has ended. */
export async function launch(plan: Launch): Promise<Running> {
  await mkdir(plan.data_dir, { recursive: true });
  const held = await holdFolder(plan.name, plan.data_dir);
  try {
    for (let attempt = 1; ; attempt++) {
      const port = await freePort(attempt === 1 ? plan.port : 0);
      try {
        return await launchOnce(plan, port, held);
      } catch (error) {
        const portLost = (await freePort(port)) !== port;
        if (!portLost || attempt === PORT_ATTEMPTS) throw error;
      }
    }
  } catch (error) {
    await held.release();
    throw error;
  }
}

/**
 * Takes the folder. A live holder is refused; an engine that a dead holder left behind is ended first, because two
 * servers over one store would damage it.
 */
async function holdFolder(name: string, data_dir: string): Promise<Lock> {
  const got = await tryLock(join(data_dir, LOCK_FILE));
  if (!("release" in got)) {
    const advice = `${data_dir} is in use by process ${got.pid}; end that process or use another data folder`;
    throw new EngineError("folder_held", name, advice);
  }
  const orphan = got.replaced?.engine;
  if (orphan === undefined) return got;
  try {
    await endProcess(name, orphan, "SIGTERM", GRACE_MS);
  } catch (error) {
    await got.release();
    throw error;
  }
  return got;
}

async function launchOnce(plan: Launch, port: number, held: Lock): Promise<Running> {
  const launchCommand = await plan.prepare(port);
  const log_file = join(plan.data_dir, `${plan.name}.log`);
  const supervisor = spawnSupervisor(plan, launchCommand, log_file);
  const exited = exitOf(supervisor);
  let engine: ProcessIdentity | undefined;
  const stop = async (grace_ms = GRACE_MS): Promise<void> => {
    supervisor.ref();
    if (engine !== undefined) await endProcess(plan.name, engine, `SIG${plan.stopSignal}`, grace_ms);
    else supervisor.kill("SIGKILL");
    await exited;
  };
  try {
    const pid = await enginePid(supervisor, exited);
    engine = pid === undefined ? undefined : identify(pid);
    if (engine === undefined) throw new EngineError("exited_early", plan.name, await lastWords(log_file));
    await held.setEngine(engine);
    await untilReady(plan, port, engine, log_file);
  } catch (error) {
    await stop();
    throw error;
  }
  const started = engine;
  // Whatever ends the supervisor ends the engine: nothing else would wait for it any more.
  const ended = exited.then(async (exit) => {
    await endProcess(plan.name, started, "SIGKILL", GRACE_MS);
    await held.release();
    return exit;
  });
  ended.catch(() => {});
  unref(supervisor);
  const stopAndWait = async (grace_ms?: number): Promise<void> => {
    await stop(grace_ms);
    await ended;
  };
  return { pid: started.pid, port, log_file, exited: ended, stop: stopAndWait };
}

function spawnSupervisor(plan: Launch, launched: LaunchCommand, log_file: string): ChildProcess {
  rotate(log_file);
  const log = openSync(log_file, "a", 0o640);
  const [file = "sh", ...wrapped] = [...(launched.wrapper ?? []), "sh", "-c", SUPERVISOR, "supervisor"];
  const args = [...wrapped, plan.stopSignal, String(GRACE_MS / 100), ...launched.command];
  try {
    // Detached: Ctrl-C in a terminal reaches the node only, which then stops its engines in order.
    return spawn(file, args, {
      stdio: ["pipe", "pipe", log],
      detached: true,
      cwd: "/",
      env: { ...process.env, ...launched.env },
      ...(launched.uid === undefined ? {} : { uid: launched.uid }),
      ...(launched.gid === undefined ? {} : { gid: launched.gid }),
    });
  } finally {
    closeSync(log);
  }
}

function rotate(log_file: string): void {
  const size = statSync(log_file, { throwIfNoEntry: false })?.size ?? 0;
  if (size > LOG_BYTES_MAX) renameSync(log_file, `${log_file}.1`);
}

/** The supervisor and its pipes no longer keep this process alive: when it ends, so does the engine. */
function unref(supervisor: ChildProcess): void {
  supervisor.unref();
  for (const stream of [supervisor.stdin, supervisor.stdout]) if (stream instanceof Socket) stream.unref();
}

function exitOf(supervisor: ChildProcess): Promise<EngineExit> {
  supervisor.stdin?.on("error", () => {});
  return new Promise((resolve) => {
    supervisor.once("error", () => resolve({ code: 127 }));
    supervisor.once("exit", (code, signal) => resolve({ code: code ?? (signal === "SIGKILL" ? 137 : 128) }));
  });
}

/** The engine's process id, the supervisor's first line; undefined when it ended without one. */
async function enginePid(supervisor: ChildProcess, exited: Promise<EngineExit>): Promise<number | undefined> {
  let line = "";
  const told = new Promise<number>((resolve) => {
    supervisor.stdout?.setEncoding("utf8").on("data", (part: string) => {
      line += part;
      if (line.includes("\n")) resolve(Number.parseInt(line, 10));
    });
  });
  return Promise.race([told, exited.then(() => undefined)]);
}

async function untilReady(plan: Launch, port: number, engine: ProcessIdentity, log_file: string): Promise<void> {
  const deadline_ms = performance.now() + plan.ready_ms;
  for (;;) {
    try {
      return await plan.ready(port, engine.pid);
    } catch (error) {
      if (!isAlive(engine)) throw new EngineError("exited_early", plan.name, await lastWords(log_file));
      if (performance.now() > deadline_ms) {
        const why = `not ready on port ${port} after ${plan.ready_ms} ms: ${messageOf(error)}`;
        throw new EngineError("not_ready", plan.name, `${why}. ${await lastWords(log_file)}`);
      }
    }
    await delay(READY_POLL_MS);
  }
}

async function lastWords(log_file: string): Promise<string> {
  const text = await readFile(log_file, "utf8").catch(() => "");
  return `its log ${log_file} ends with:\n${text.trimEnd().split("\n").slice(-8).join("\n")}`;
}

/** Signals a process, kills it after the grace, and resolves when it is gone. */
async function endProcess(name: string, who: ProcessIdentity, signal: NodeJS.Signals, grace_ms: number): Promise<void> {
  for (const [step, wait_ms] of [
    [signal, grace_ms],
    ["SIGKILL", KILL_MS],
  ] as const) {
    if (!isAlive(who)) return;
    process.kill(who.pid, step);
    const deadline_ms = performance.now() + wait_ms;
    while (isAlive(who) && performance.now() < deadline_ms) await delay(END_POLL_MS);
  }
  if (isAlive(who)) throw new EngineError("not_stopped", name, `process ${who.pid} does not end; end it by hand`);
}
