/**
 * The speed sketch, run as its own README says (its server, its load generator, a nats-server with the same settings),
 * from a copy of its folder in which only the two port numbers are changed.
 */
import { cp, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type NatsEngine, startNats } from "../../deploy/engines/nats.ts";
import { freePort } from "../../deploy/engines/ports.ts";
import { Child } from "./child.ts";

/** What its load generator prints. */
export interface SketchResult {
  readonly offered_per_s: number;
  readonly decisions_per_s: number;
  readonly lost: number;
  readonly latency_ms: { readonly p50: number; readonly p95: number; readonly p99: number; readonly p999: number };
}

const GRPC_PORT = "50051";
const NATS_PORT = "4222";
const UP_S = 30;
const MESSAGE_ROWS = "64";

export class Sketch {
  readonly #folder: string;
  readonly #nats: NatsEngine;
  readonly #server: Child;

  private constructor(folder: string, nats: NatsEngine, server: Child) {
    this.#folder = folder;
    this.#nats = nats;
    this.#server = server;
  }

  /** Copies `source` into `folder`, starts it and warms it up. */
  static async start(source: string, folder: string, root: string, warm_up_s: number): Promise<Sketch> {
    await cp(source, folder, { recursive: true, force: true });
    await symlink(join(root, "node_modules"), join(folder, "node_modules")).catch((error: { code?: string }) => {
      if (error.code !== "EEXIST") throw error;
    });
    const nats = await startNats({ data_dir: join(folder, "nats"), port: 0 });
    try {
      const grpc_port = String(await freePort(0));
      // Of the source: the folder may hold what an earlier run wrote there.
      for (const name of await readdir(source)) {
        if (!name.endsWith(".mjs")) continue;
        const text = await readFile(join(source, name), "utf8");
        const moved = text.replaceAll(`:${GRPC_PORT}`, `:${grpc_port}`).replaceAll(`:${NATS_PORT}`, `:${nats.port}`);
        // The copied file has the source's rights, which may forbid writing.
        await writeFile(join(folder, `bench-${name}`), moved);
      }
      const server = new Child("the sketch", ["--max-semi-space-size=64", "bench-server.mjs"], { cwd: folder });
      await server.until(() => (server.tail.includes("up") ? true : undefined), UP_S);
      const sketch = new Sketch(folder, nats, server);
      await sketch.run(40_000, warm_up_s);
      return sketch;
    } catch (error) {
      await nats.stop();
      throw error;
    }
  }

  async run(rate: number, seconds: number): Promise<SketchResult> {
    const args = ["bench-load.mjs", String(rate), MESSAGE_ROWS, String(seconds)];
    const load = new Child("the sketch's load", args, { cwd: this.#folder });
    const said = await load.finished(seconds + 60);
    return JSON.parse(said.slice(said.lastIndexOf("\n") + 1)) as SketchResult;
  }

  async stop(): Promise<void> {
    await this.#server.stop();
    await this.#nats.stop();
  }
}
