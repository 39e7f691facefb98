/**
 * What nats-server's system calls say about its promise: before the acknowledgement of a record is written to a socket,
 * the record was written to the journal's file, and after that a sync of the file had returned.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

const ATTACH_MS = 1000;
/** So much of each write is printed: longer than an acknowledgement and the messages in front of it. */
const BYTES_MAX = 4096;
/** Length, sequence: what is read of the head of a record in nats-server's file. */
const RECORD_HEAD = 12;

/** Why system calls cannot be traced here; null when they can. */
export function whyNoTrace(): string | null {
  const tried = spawnSync("strace", ["-o", "/dev/null", "true"], { encoding: "utf8" });
  if (tried.error !== undefined) return "strace is not installed";
  return tried.status === 0 ? null : `strace cannot trace: ${tried.stderr.trim().slice(0, 200)}`;
}

/** strace over a running process and all of its threads, until it is ended. */
export class Trace {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async attach(pid: number, args: readonly string[]): Promise<Trace> {
    const child = spawn("strace", ["-f", "-p", String(pid), ...args], { stdio: "ignore" });
    await delay(ATTACH_MS);
    if (child.exitCode !== null) throw new Error(`strace ended with ${child.exitCode}`);
    return new Trace(child);
  }

  /** The process goes on untraced. */
  async end(): Promise<void> {
    if (this.#child.exitCode !== null) throw new Error(`strace ended early with ${this.#child.exitCode}`);
    const gone = once(this.#child, "exit");
    this.#child.kill("SIGINT");
    await gone;
  }
}

/** Times of a call's begin and end, seconds. */
interface Span {
  readonly from: number;
  readonly to: number;
}

export interface SyncFacts {
  /** Acknowledgements of records whose write is in the trace. */
  readonly acknowledged: number;
  /** Of these: not synced between the record's write and the acknowledgement. */
  readonly early: number;
  readonly syncs: number;
}

/** Begin, call, path of the file, the rest of the arguments, result, time taken. Text is printed byte by byte. */
const CALL = /^(\d+\.\d+) (\w+)\(\d+<((?:\\x\w\w)*)>(.*)\) = (-?\d+).*<(\d+\.\d+)>$/;
const TEXT = /"((?:\\x\w\w)*)"/g;

/** Lines as `strace -ff -ttt -T -y -xx` writes them, of all threads. `stream`: of the journal. */
export function syncFacts(lines: readonly string[], stream: string): SyncFacts {
  const written = new Map<number, Span>();
  const acks = new Map<number, Span>();
  const syncs: Span[] = [];
  for (const line of lines) {
    const [, at, call, path = "", rest = "", result, took] = CALL.exec(line) ?? [];
    if (call === undefined || Number(result) < 0) continue;
    const span = { from: Number(at), to: Number(at) + Number(took) };
    const isJournal = bytesOf(path).includes(`/streams/${stream}/msgs/`);
    if (call === "fsync" || call === "fdatasync") {
      if (isJournal) syncs.push(span);
      continue;
    }
    const bytes = Buffer.concat([...rest.matchAll(TEXT)].map(([, text]) => bytesOf(text)));
    if (isJournal) for (const sequence of recordsIn(bytes)) written.set(sequence, span);
    else for (const sequence of acksIn(bytes, stream)) if (!acks.has(sequence)) acks.set(sequence, span);
  }
  let acknowledged = 0;
  let early = 0;
  for (const [sequence, ack] of acks) {
    const write = written.get(sequence);
    if (write === undefined) continue;
    acknowledged++;
    if (!syncs.some((s) => s.from >= write.to && s.to <= ack.from)) early++;
  }
  return { acknowledged, early, syncs: syncs.length };
}

function bytesOf(text: string): Buffer {
  return Buffer.from(text.replaceAll("\\x", ""), "hex");
}

/** Sequences of the records that begin in what was written. */
function* recordsIn(bytes: Buffer): Generator<number> {
  for (let at = 0; at + RECORD_HEAD <= bytes.length; ) {
    const length = bytes.readUInt32LE(at) & 0x3fffffff;
    if (length < RECORD_HEAD) return;
    yield Number(bytes.readBigUInt64LE(at + 4) & 0x3fffffffffffffffn);
    at += length;
  }
}

function* acksIn(bytes: Buffer, stream: string): Generator<number> {
  const pattern = new RegExp(`"stream":\\s*"${stream}",[^}]*?"seq":\\s*(\\d+)`, "g");
  for (const [, sequence] of bytes.toString("latin1").matchAll(pattern)) yield Number(sequence);
}

/** Traces nats-server for a while. */
export async function traceSyncs(pid: number, stream: string, dir: string, during_ms: number): Promise<SyncFacts> {
  await mkdir(dir, { recursive: true });
  const calls = "trace=fsync,fdatasync,write,writev,pwrite64,sendto,sendmsg";
  const how = ["-ff", "-ttt", "-T", "-y", "-xx", "-s", String(BYTES_MAX), "-e", calls, "-o", join(dir, "calls")];
  const trace = await Trace.attach(pid, how);
  await delay(during_ms);
  await trace.end();
  const lines: string[] = [];
  for (const name of await readdir(dir)) lines.push(...(await readFile(join(dir, name), "utf8")).split("\n"));
  return syncFacts(lines, stream);
}
