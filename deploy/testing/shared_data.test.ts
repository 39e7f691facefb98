/**
 * Shared data: found, missing on a desk, missing in CI.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { locate } from "./shared_data.ts";

test("shared data is found, skips with what is missing on a desk, and throws in CI", () => {
  const skipped: (string | undefined)[] = [];
  const t = { skip: (message?: string) => void skipped.push(message) };
  assert.equal(locate(t, import.meta.dirname, "run.ts", "true"), `${import.meta.dirname}/run.ts`);
  assert.equal(locate(t, import.meta.dirname, "nothing", undefined), undefined);
  assert.match(skipped.join(), /no shared data set nothing/);
  for (const ci of ["true", "1"]) assert.throws(() => locate(t, import.meta.dirname, "nothing", ci), /in CI/);
  assert.equal(skipped.length, 1);
});
