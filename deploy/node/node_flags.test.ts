import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { NODE_FLAGS } from "./node_flags.ts";

test("npm start runs the node with the flags that the tests and the benchmark use", () => {
  const path = join(import.meta.dirname, "../../package.json");
  const { scripts } = JSON.parse(readFileSync(path, "utf8")) as { scripts: { start: string } };
  assert.ok(scripts.start.includes(` node ${NODE_FLAGS.join(" ")} deploy/bin/start.ts`), scripts.start);
});
