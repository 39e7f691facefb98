/**
 * Lock files among real processes: one holder at a time, and a dead holder's lock is taken over by exactly one.
 */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { identify, isAlive, lock, readLock, tryLock } from "./lock.ts";
import { holderProcess, killHard, scratchDir } from "./testkit.ts";

test("a held lock is refused with its holder, and free after its release", async (t) => {
  const path = join(await scratchDir(t), "lock");
  const first = await tryLock(path);
  assert.ok("release" in first);
  const second = await tryLock(path);
  assert.ok(!("release" in second));
  assert.equal(second.pid, process.pid);
  assert.equal(await lock(path, 60), undefined);
  await first.release();
  const third = await lock(path, 60);
  assert.ok(third !== undefined);
  assert.equal(third.replaced, undefined);
  await first.release();
  assert.notEqual(await readLock(path), undefined, "a release by who no longer holds it changes nothing");
  await third.release();
});

test("the lock of a process killed by -9 is taken over by one of many, who learns its engine", async (t) => {
  const path = join(await scratchDir(t), "lock");
  const script = `
    import { tryLock } from "./lock.ts";
    const held = await tryLock(${JSON.stringify(path)});
    await held.setEngine({ pid: 1, started: "long ago" });
    console.log(JSON.stringify({ pid: process.pid }));
    setInterval(() => {}, 1000);`;
  const { child, said } = await holderProcess<{ pid: number }>(t, script);
  const before = await tryLock(path);
  assert.ok(!("release" in before) && before.pid === said.pid);
  await killHard(child);
  const taken = await Promise.all([1, 2, 3, 4, 5, 6].map(() => tryLock(path)));
  const holders = taken.filter((one) => "release" in one);
  assert.equal(holders.length, 1);
  assert.deepEqual(holders[0]?.replaced?.engine, { pid: 1, started: "long ago" });
});

test("a process id given to another process does not keep a lock", async (t) => {
  const path = join(await scratchDir(t), "lock");
  const self = identify(process.pid);
  assert.ok(self !== undefined && isAlive(self));
  await writeFile(path, JSON.stringify({ pid: process.pid, started: "before this process", token: "x" }));
  const got = await tryLock(path);
  assert.ok("release" in got);
});

test("a lock that lost its content in a power cut is taken over, by one of many", async (t) => {
  const folder = await scratchDir(t);
  for (const [i, text] of ["", "\0\0\0\0", '{"pid":1', "null", "[]", '{"pid":1,"started":"x"}'].entries()) {
    const path = join(folder, `lock-${i}`);
    await writeFile(path, text);
    const taken = await Promise.all([1, 2, 3].map(() => tryLock(path)));
    assert.equal(taken.filter((one) => "release" in one).length, 1, JSON.stringify(text));
    assert.equal((await readLock(path))?.pid, process.pid);
  }
});
