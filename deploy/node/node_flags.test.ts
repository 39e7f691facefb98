import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { NODE_ENVIRONMENT, NODE_FLAGS } from "./node_flags.ts";

test("npm start runs the node with the flags and the environment that the tests and the benchmark use", () => {
  const path = join(import.meta.dirname, "../../package.json");
  const { scripts } = JSON.parse(readFileSync(path, "utf8")) as { scripts: { start: string } };
  const environment = Object.entries(NODE_ENVIRONMENT).map(([name, value]) => `${name}=${value}`);
  assert.ok(scripts.start.startsWith(`exec env ${environment.join(" ")} node `), scripts.start);
  assert.ok(scripts.start.includes(` node ${NODE_FLAGS.join(" ")} deploy/bin/start.ts`), scripts.start);
});
