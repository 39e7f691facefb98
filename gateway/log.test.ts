import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { createLog } from "./log.ts";

test("lines are JSON and hold no credentials", () => {
  const lines: string[] = [];
  const to = new PassThrough();
  to.on("data", (line: Buffer) => lines.push(line.toString()));
  const log = createLog({ name: "gateway", to });
  log.info({ authorization: "s3cret", headers: { authorization: "s3cret" }, tenant: { seal_key: "s3cret" } }, "hello");
  log.warn({ req: { headers: { authorization: "s3cret" } }, api_key: "s3cret" }, "there");
  log.debug("not shown");
  assert.equal(lines.length, 2);
  const first = JSON.parse(lines[0]);
  assert.deepEqual([first.level, first.name, first.msg], ["info", "gateway", "hello"]);
  assert.ok(!lines.join("").includes("s3cret"));
});
