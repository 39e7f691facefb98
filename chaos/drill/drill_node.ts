/** A node of a drill: deploy/bin/start.ts in a process of its own, which can be killed, frozen and started again. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { openSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { nodeLog, nodeLogText } from "../../deploy/e2e/testkit/node_log.ts";
import { until } from "../../deploy/e2e/testkit/until.ts";
import { freePort } from "../../deploy/engines/ports.ts";
import { NODE_ENVIRONMENT, NODE_FLAGS } from "../../deploy/node/node_flags.ts";

const START = new URL("../../deploy/bin/start.ts", import.meta.url).pathname;
/** A supervisor starts an ended process again after this. */
const RESTART_MS = 500;
const END_MS = 30_000;

export class DrillNode {
  readonly name: string;
  readonly data_dir: string;
  readonly grpc_port: number;
  readonly #args: readonly string[];
  #child: ChildProcess | null = null;
  /** Starts again by itself when the process ends. */
  supervised = true;
  /** Added to its arguments from its next start on. */
  more: readonly string[] = [];
  /** Added to its environment from its next start on. */
  env: Readonly<Record<string, string>> = {};

  private constructor(name: string, data_dir: string, grpc_port: number, args: readonly string[]) {
    this.name = name;
    this.data_dir = data_dir;
    this.grpc_port = grpc_port;
    this.#args = args;
  }

  /** `args`: more of start.ts. */
  static async make(name: string, data_dir: string, args: readonly string[]): Promise<DrillNode> {
    await mkdir(data_dir, { recursive: true });
    return new DrillNode(name, data_dir, await freePort(0), args);
  }

  get running(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get endpoint(): string {
    return `127.0.0.1:${this.grpc_port}`;
  }

  start(): void {
    if (this.running) throw new Error(`${this.name} runs already`);
    const ports = ["--grpc-port", String(this.grpc_port), "--rest-port", "0"];
    const more = ["--snapshot-interval-s", "2", "--no-nats-intake", ...this.#args, ...this.more];
    const args = [...NODE_FLAGS, START, "--no-demo", "--data-dir", this.data_dir, ...ports, ...more];
    const said = openSync(join(this.data_dir, "said.txt"), "a");
    const child = spawn(process.execPath, args, {
      stdio: ["ignore", said, said],
      env: { ...process.env, ...NODE_ENVIRONMENT, ...this.env },
    });
    this.#child = child;
    child.once("exit", () => {
      if (this.supervised && this.#child === child) setTimeout(() => this.#again(child), RESTART_MS);
    });
  }

  /** Starts it behind end(), under its supervisor again. */
  startAgain(): void {
    this.supervised = true;
    this.start();
  }

  #again(ended: ChildProcess): void {
    if (this.supervised && this.#child === ended) this.start();
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  /** Ends the process by the signal and waits until it is gone; it stays down. */
  async end(signal: NodeJS.Signals): Promise<void> {
    this.supervised = false;
    const child = this.#child;
    if (child === null || !this.running) return;
    const gone = once(child, "exit");
    child.kill("SIGCONT");
    child.kill(signal);
    await until(
      `${this.name} has ended`,
      () => !this.running,
      END_MS,
      () => this.words(),
    );
    await gone;
  }

  /** Its log, oldest line first. */
  log(): Promise<Record<string, unknown>[]> {
    return nodeLog(this.data_dir);
  }

  /** Log lines with this message, oldest first. */
  async logged(msg: string): Promise<Record<string, unknown>[]> {
    return (await this.log()).filter((line) => line["msg"] === msg);
  }

  /** What it said last: for the message of a failed wait. */
  async words(): Promise<string> {
    const said = await readFile(join(this.data_dir, "said.txt"), "utf8").catch(() => "");
    const log = await nodeLogText(this.data_dir);
    return `${this.name} printed: ${said.slice(-1500)}\nlog: ${log.slice(-1500)}`;
  }
}
