/**
 * A child process of the bench: its last words are kept for errors, it is ended by its own id, and with the bench.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";

const TAIL_CHARACTERS = 4000;
const GRACE_MS = 20_000;
const running = new Set<ChildProcess>();

process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

export class Child {
  readonly process: ChildProcess;
  readonly name: string;
  #tail = "";
  #ended = false;

  constructor(
    name: string,
    args: readonly string[],
    options: { cwd?: string; ipc?: boolean; env?: NodeJS.ProcessEnv } = {},
  ) {
    this.name = name;
    this.process = spawn(process.execPath, args, {
      stdio: ["ignore", "pipe", "pipe", ...(options.ipc === true ? ["ipc" as const] : [])],
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: { ...process.env, ...options.env },
    });
    running.add(this.process);
    const keep = (part: Buffer): void => {
      this.#tail = (this.#tail + part.toString()).slice(-TAIL_CHARACTERS);
    };
    this.process.stdout?.on("data", keep);
    this.process.stderr?.on("data", keep);
    this.process.once("exit", () => {
      this.#ended = true;
      running.delete(this.process);
    });
  }

  get pid(): number {
    if (this.process.pid === undefined) throw new Error(`${this.name} could not be started`);
    return this.process.pid;
  }

  /** What it wrote last. */
  get tail(): string {
    return this.#tail.trim();
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Polls until `ready` gives something. Rejects when the process ends before, or after the deadline. */
  async until<T>(ready: () => T | undefined | Promise<T | undefined>, deadline_s: number): Promise<T> {
    const end_ms = performance.now() + deadline_s * 1000;
    for (;;) {
      const got = await ready();
      if (got !== undefined) return got;
      if (this.#ended) throw new Error(`${this.name} ended early: ${this.tail}`);
      if (performance.now() > end_ms) throw new Error(`${this.name} is not ready after ${deadline_s} s: ${this.tail}`);
      await delay(50);
    }
  }

  /** Resolves with its standard output's tail when it ended by itself with 0. */
  async finished(deadline_s: number): Promise<string> {
    await this.until(() => (this.#ended ? true : undefined), deadline_s).catch(async (error: unknown) => {
      await this.stop();
      throw error;
    });
    if (this.process.exitCode !== 0) throw new Error(`${this.name} failed: ${this.tail}`);
    return this.tail;
  }

  async stop(): Promise<void> {
    if (this.#ended) return;
    this.process.kill("SIGTERM");
    const end_ms = performance.now() + GRACE_MS;
    while (!this.#ended && performance.now() < end_ms) await delay(20);
    if (!this.#ended) this.process.kill("SIGKILL");
    while (!this.#ended) await delay(20);
  }
}
