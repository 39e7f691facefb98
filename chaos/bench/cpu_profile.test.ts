import assert from "node:assert/strict";
import { test } from "node:test";
import { type CpuProfile, summarize } from "./cpu_profile.ts";

test("self time is told by part of the work and by function, without waiting", () => {
  const frame = (id: number, functionName: string, url: string) => ({
    id,
    callFrame: { functionName, url, lineNumber: 9 },
  });
  const profile: CpuProfile = {
    nodes: [
      frame(1, "(idle)", ""),
      frame(2, "append", "file:///x/runtime/kernel/windows/light.ts"),
      frame(3, "near", "file:///x/runtime/kernel/windows/window_table.ts"),
      frame(4, "verifyFrame", "file:///x/proto/frame/frame_header.ts"),
      frame(5, "(garbage collector)", ""),
      frame(6, "serve", "file:///x/actors/inference/session_worker.ts"),
    ],
    samples: [1, 2, 2, 3, 4, 5, 6, 99],
    timeDeltas: [4e6, 1e6, 2e6, 1e6, 5e5, 5e5, 1e6, 7e6],
  };
  const found = summarize(profile);
  assert.deepEqual([found.busy_s, found.idle_s], [5, 5]);
  const wanted = { folding: 3, "reading ahead": 1, verifying: 0.5, garbage: 0.5 };
  assert.deepEqual(found.parts_s, wanted);
  assert.deepEqual(found.top[0], { name: "append windows/light.ts:10", share: 0.6 });
});
