/** A command of ours in a process of its own: what it printed, whether it runs, and its end. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { until } from "./until.ts";

/** Characters kept of what it printed. */
const SAID_MAX = 4000;
const END_MS = 30_000;

export class CommandProcess {
  readonly #child: ChildProcess;
  /** For messages. */
  readonly #what: string;
  readonly #words: () => Promise<string>;
  /** The end of what it printed so far. */
  said = "";

  /** Starts Node with these arguments. `words`: more for the message of a failed wait. */
  constructor(what: string, args: readonly string[], words: () => Promise<string>) {
    this.#what = what;
    this.#words = words;
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        this.said = (this.said + text).slice(-SAID_MAX);
      });
    }
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Null: it runs, or a signal ended it. */
  get exitCode(): number | null {
    return this.#child.exitCode;
  }

  /** Waits until `isReady`. Rejects when the process ends before. */
  async ready(isReady: () => boolean | Promise<boolean>, limit_ms: number): Promise<void> {
    const isOver = async () => !this.running || (await isReady());
    await until(`${this.#what} is ready`, isOver, limit_ms, this.#words);
    if (!this.running) throw new Error(`${this.#what} ended before it was ready:\n${await this.#words()}`);
  }

  /** Waits until it has ended by itself. */
  async ended(limit_ms = END_MS): Promise<void> {
    await until(`${this.#what} has ended`, () => !this.running, limit_ms, this.#words);
  }

  /** Signals it and waits until it is gone. */
  async end(signal: NodeJS.Signals): Promise<void> {
    if (!this.running) return;
    const gone = once(this.#child, "exit");
    this.#child.kill(signal);
    await until(`${this.#what} has ended by ${signal}`, () => !this.running, END_MS, this.#words);
    await gone;
  }
}
