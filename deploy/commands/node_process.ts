/**
 * A node of our own for a command: `start.ts --no-demo` as a child process over its own data folder, awaited until it
 * has written ready.json, and ended with the command, also when the command is killed.
 */
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { createTenantKey } from "../../gateway/identity/identity.ts";
import { readTenants } from "../../gateway/identity/tenant_file.ts";
import type { AttributeDeclaration } from "../../proto/tenant.ts";
import { launch, type Running } from "../engines/engine.ts";
import { KEYS_FILE } from "../models/files.ts";
import { INSTALLATION_REGISTRY } from "../models/key_files.ts";
import { NODE_ENVIRONMENT, NODE_FLAGS } from "../node/node_flags.ts";

const START = resolve(import.meta.dirname, "..", "bin", "start.ts");
/** Recovery of a long journal is part of it. */
const READY_MS = 300_000;
/** Ending writes the feature export's last files. */
const STOP_GRACE_MS = 60_000;

/** Where a node is, as ready.json says it. */
export interface ReadyNode {
  readonly pid: number;
  readonly grpc: string;
  readonly rest: string;
  readonly api_key: string;
}

export interface NodeProcessOptions {
  /** Kept from one start to the next: journals, snapshots, secrets. */
  readonly data_dir: string;
  /** Further arguments of start.ts. */
  readonly args?: readonly string[];
  /** Whether it takes payments of the public stream; default false. */
  readonly takes_published?: boolean;
}

export interface NodeProcess extends ReadyNode {
  /** Resolves when the process is gone, for whatever reason. */
  readonly exited: Promise<unknown>;
  /** Intake stops, what was taken is answered, and the process is gone when it resolves. */
  stop(): Promise<void>;
}

/** Starts a node and resolves when it serves. Rejects with EngineError and the node's last words. */
export async function startNodeProcess(options: NodeProcessOptions): Promise<NodeProcess> {
  const data_dir = resolve(options.data_dir);
  const ready_file = join(data_dir, "ready.json");
  const ports = ["--grpc-port", "0", "--rest-port", "0", "--nats-port", "0"];
  const more = [...(options.takes_published === true ? [] : ["--no-nats-intake"]), ...(options.args ?? [])];
  const args = ["--no-demo", "--data-dir", data_dir, ...ports, ...trustedKeys(more), ...more];
  let ready: ReadyNode | undefined;
  const running: Running = await launch({
    name: "node",
    data_dir: join(data_dir, "node"),
    port: 0,
    ready_ms: READY_MS,
    stopSignal: "TERM",
    prepare: async () => ({
      command: [process.execPath, ...NODE_FLAGS, START, ...args],
      env: NODE_ENVIRONMENT,
    }),
    async ready(_port, pid) {
      const found = await readReady(ready_file);
      if (found.pid !== pid) throw new Error(`${ready_file} is another process's`);
      ready = found;
    },
  });
  return { ...(ready as ReadyNode), exited: running.exited, stop: () => running.stop(STOP_GRACE_MS) };
}

/**
 * A model that a command names to a node of its own was trained in this checkout, whose keys that node's fresh folder
 * does not know.
 */
function trustedKeys(args: readonly string[]): string[] {
  return args.includes("--model") ? ["--trusted-keys", join(INSTALLATION_REGISTRY, KEYS_FILE)] : [];
}

/** Reads ready.json. Rejects with a message that says what to do. */
export async function readReady(file: string): Promise<ReadyNode> {
  const text = await readFile(file, "utf8").catch(() => {
    throw new Error(`${file} is not there: start a node (npm start), or name its ready.json`);
  });
  const found = JSON.parse(text) as ReadyNode;
  if (typeof found.grpc !== "string" || typeof found.api_key !== "string") {
    throw new Error(`${file} is not a ready.json`);
  }
  return found;
}

/**
 * Makes the demo tenant of a fresh data folder with this base currency, so that amounts in it are not converted, and
 * with these attributes. A folder that has the tenant already is left as it is.
 */
export function prepareTenant(
  data_dir: string,
  base_currency: string,
  attributes: readonly AttributeDeclaration[] = [],
): void {
  const path = join(data_dir, "tenants.json");
  if (readTenants(path).length > 0) return;
  createTenantKey(path, { id: "demo", base_currency, attributes, stand_in: "NONE", deadline_ms: 60_000 });
}
