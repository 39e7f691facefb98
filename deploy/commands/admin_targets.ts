/** Which nodes the commands for operators talk to, and with which key: from ready.json, or as named by the user. */
import { access, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { WrongArgument } from "./arguments.ts";

export const TARGET_OPTIONS = {
  "data-dir": { type: "string" },
  nodes: { type: "string" },
  "key-file": { type: "string" },
} as const;

export const TARGET_HELP = `  --data-dir DIR          folder of the cluster or node (default: data/cluster, else data)
  --nodes HOST:PORT,...   ask these nodes (gRPC) instead of those in the folder's ready.json
  --key-file FILE         the operator's key (default: what ready.json names, else DIR/admin.key)`;

/** Folders that `npm run cluster` and `npm start` use unless they are told another one. */
const FOLDERS = ["data/cluster", "data"];

export interface TargetArguments {
  readonly "data-dir"?: string | undefined;
  readonly nodes?: string | undefined;
  readonly "key-file"?: string | undefined;
}

export interface Target {
  /** Empty: it is what the node says. */
  readonly name: string;
  /** host:port */
  readonly grpc: string;
}

export interface Targets {
  readonly nodes: readonly Target[];
  readonly key: string;
}

interface ReadyFile {
  readonly grpc?: string;
  readonly nodes?: readonly Target[];
  readonly admin_key_file?: string;
}

/** Rejects with WrongArgument, or an Error that says what is not there. */
export async function findTargets(args: TargetArguments): Promise<Targets> {
  const named = args.nodes?.split(",").map((grpc) => ({ name: "", grpc: grpc.trim() }));
  for (const { grpc } of named ?? []) {
    if (!/^[^\s:]+:\d{1,5}$|^\[[^\s\]]+\]:\d{1,5}$/.test(grpc)) throw new WrongArgument(`--nodes takes host:port,...`);
  }
  const folder = await folderOf(args["data-dir"], named === undefined);
  const ready = await readReady(join(folder, "ready.json"));
  const nodes = named ?? (await nodesOf(folder, ready));
  const key_file = args["key-file"] ?? ready?.admin_key_file ?? join(folder, "admin.key");
  const key = await readFile(key_file, "utf8").catch((e: Error) => {
    throw new Error(`cannot read the operator's key: ${e.message}`);
  });
  return { nodes, key: key.trim() };
}

async function folderOf(asked: string | undefined, must_run: boolean): Promise<string> {
  const folders = asked === undefined ? FOLDERS : [asked];
  for (const folder of folders) {
    const runs = await access(join(folder, "ready.json")).then(
      () => true,
      () => false,
    );
    if (runs) return resolve(folder);
  }
  if (must_run) throw new Error(`nothing runs in ${folders.join(" or ")} (no ready.json): name its --data-dir`);
  return resolve(folders[0]);
}

async function nodesOf(folder: string, ready: ReadyFile | null): Promise<Target[]> {
  if (ready?.nodes === undefined) {
    if (typeof ready?.grpc !== "string") throw new Error(`${folder}/ready.json names no node`);
    return [{ name: "", grpc: ready.grpc }];
  }
  // A node that was started again has other ports, which its own folder knows.
  return Promise.all(
    ready.nodes.map(async ({ name, grpc }) => {
      const own = await readReady(join(folder, name, "ready.json"));
      return { name, grpc: own?.grpc ?? grpc };
    }),
  );
}

async function readReady(file: string): Promise<ReadyFile | null> {
  const text = await readFile(file, "utf8").catch(() => null);
  if (text === null) return null;
  try {
    return JSON.parse(text) as ReadyFile | null;
  } catch {
    throw new Error(`${file} is not JSON: remove it if nothing runs there`);
  }
}
