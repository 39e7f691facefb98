/**
 * Helpers of the engines' tests: scratch folders, child processes that hold engines, and waiting for a condition.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";

/** A new folder that only this account can enter, removed after the test. */
export async function scratchDir(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "fraudguard-test-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Waits until `condition` holds; throws with `what` when it does not within `timeout_ms`. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeout_ms = 15_000,
): Promise<void> {
  const deadline_ms = performance.now() + timeout_ms;
  while (!(await condition())) {
    if (performance.now() > deadline_ms) throw new Error(`not within ${timeout_ms} ms: ${what}`);
    await delay(20);
  }
}

/** A node process that ran `script` up to the line that it printed, parsed as JSON. */
export interface Holder<T> {
  readonly child: ChildProcess;
  readonly said: T;
}

/** Runs a module script in a node process of its own and waits for its first line. Killed after the test. */
export async function holderProcess<T>(t: TestContext, script: string): Promise<Holder<T>> {
  const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", script], {
    cwd: import.meta.dirname,
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => child.kill("SIGKILL"));
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => {
    text += part;
  });
  await until(`a line from: ${script}`, () => text.includes("\n") || child.exitCode !== null, 120_000);
  return { child, said: JSON.parse(text) as T };
}

/** Kills a child with -9 and waits until it is gone. */
export async function killHard(child: ChildProcess): Promise<void> {
  const gone = child.exitCode === null && child.signalCode === null ? once(child, "exit") : undefined;
  child.kill("SIGKILL");
  await gone;
}

/** Live processes whose command line holds `text` (Linux). */
export async function processesWith(text: string): Promise<{ pid: number; command: string }[]> {
  const found: { pid: number; command: string }[] = [];
  for (const entry of await readdir("/proc")) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const command = (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).replaceAll("\0", " ");
    if (command.includes(text)) found.push({ pid, command });
  }
  return found;
}
