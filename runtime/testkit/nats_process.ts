/**
 * A real nats-server for tests: JetStream with `sync_interval: always` on a free loopback port, with a store folder
 * that survives kill() and start(), so that crashes can be tested. The binary is FRAUDGUARD_NATS_SERVER or what the
 * provisioner finds.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { provision } from "../../deploy/engines/provisioner.ts";

const READY_MS = 20_000;
const POLL_MS = 20;

async function binary(): Promise<string> {
  const configured = process.env["FRAUDGUARD_NATS_SERVER"];
  if (configured !== undefined && configured !== "") return configured;
  return (await provision("nats-server")).path;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export class NatsProcess {
  readonly folder: string;
  readonly #binary: string;
  #child: ChildProcess | null = null;
  /** 0 until the first start chose one; a restart uses it again. */
  #port = 0;

  private constructor(folder: string, path: string) {
    this.folder = folder;
    this.#binary = path;
  }

  /** A started server with an empty store. */
  static async launch(): Promise<NatsProcess> {
    const server = new NatsProcess(await mkdtemp(join(tmpdir(), "fraudguard-nats-")), await binary());
    await server.start();
    return server;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  async start(): Promise<void> {
    if (this.#child !== null) throw new Error("nats-server runs already");
    const config = join(this.folder, "nats.conf");
    const store = JSON.stringify(join(this.folder, "store"));
    const listen = this.#port === 0 ? "127.0.0.1:-1" : this.address;
    const lines = [`listen: "${listen}"`, `jetstream { store_dir: ${store}, sync_interval: always }`];
    await writeFile(config, lines.join("\n"));
    const log = join(this.folder, "server.log");
    const child = spawn(this.#binary, ["-c", config, "-l", log], { stdio: "ignore" });
    this.#child = child;
    const deadline = performance.now() + READY_MS;
    while (!(await this.#ready(log))) {
      if (child.exitCode !== null || performance.now() > deadline) {
        const said = await readFile(log, "utf8").catch(() => "(no log)");
        throw new Error(`nats-server is not ready (exit ${child.exitCode}):\n${said.slice(-2000)}`);
      }
      await pause(POLL_MS);
    }
  }

  /** Ends the process at once, as a crash does; the store stays. */
  async kill(signal: "SIGKILL" | "SIGTERM" = "SIGKILL"): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill(signal);
    await gone;
  }

  /** Ends the process and removes its folder. */
  async dispose(): Promise<void> {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** The log names the port that was chosen; ready means that it accepts a connection. */
  async #ready(log: string): Promise<boolean> {
    if (this.#port === 0) {
      const text = await readFile(log, "utf8").catch(() => "");
      const said = /Listening for client connections on 127\.0\.0\.1:(\d+)/.exec(text);
      if (said === null || !text.includes("Server is ready")) return false;
      this.#port = Number(said[1]);
    }
    return new Promise((resolve) => {
      const socket = connect(this.#port, "127.0.0.1");
      socket.once("data", () => {
        socket.destroy();
        resolve(true);
      });
      socket.once("error", () => resolve(false));
    });
  }
}
