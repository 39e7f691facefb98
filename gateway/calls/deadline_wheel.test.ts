import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DeadlineWheel, type Expiring, SLOT_MS } from "./deadline_wheel.ts";

class Entry implements Expiring {
  expires_slot = -1;
  before: Expiring | null = null;
  after: Expiring | null = null;
  expired_ms = -1;
  readonly due_ms: number;
  readonly clock: { now_us: number };
  constructor(due_ms: number, clock: { now_us: number }) {
    this.due_ms = due_ms;
    this.clock = clock;
  }
  expire(): void {
    assert.equal(this.expired_ms, -1, "expired twice");
    this.expired_ms = this.clock.now_us / 1000;
  }
}

function wheelAt(start_us: number) {
  const time = { now_us: start_us };
  const clock = { monotonicUs: () => time.now_us, wallUs: () => 0 };
  return { time, wheel: new DeadlineWheel(clock) };
}

test("each entry expires once, never early, at most one slot and one visit late; removed ones never", () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant("add" as const), delay_ms: fc.integer({ min: 0, max: 30_000 }) }),
    fc.record({ kind: fc.constant("remove" as const), at: fc.nat(100) }),
    fc.record({ kind: fc.constant("pass" as const), ms: fc.integer({ min: 0, max: 15_000 }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), fc.nat(1e9), (steps, start_us) => {
      const { time, wheel } = wheelAt(start_us);
      const live: Entry[] = [];
      const removed: Entry[] = [];
      let visited_ms = start_us / 1000;
      for (const s of steps) {
        if (s.kind === "add") {
          const entry = new Entry(time.now_us / 1000 + s.delay_ms, time);
          wheel.add(entry, s.delay_ms);
          live.push(entry);
        } else if (s.kind === "remove" && live.length > 0) {
          const [entry] = live.splice(s.at % live.length, 1);
          wheel.remove(entry);
          wheel.remove(entry);
          removed.push(entry);
        } else if (s.kind === "pass") {
          time.now_us += s.ms * 1000;
          wheel.advance();
          visited_ms = time.now_us / 1000;
        }
        for (let i = live.length - 1; i >= 0; i--) {
          const { expired_ms, due_ms } = live[i];
          if (expired_ms >= 0) {
            assert.ok(expired_ms >= due_ms, "early");
            live.splice(i, 1);
          } else assert.ok(due_ms + SLOT_MS + 0.001 >= visited_ms, `late: due ${due_ms}, visited ${visited_ms}`);
        }
        assert.equal(wheel.size, live.length);
      }
      time.now_us += 60e6;
      wheel.advance();
      assert.equal(wheel.size, 0);
      assert.ok(
        live.every((e) => e.expired_ms >= 0) && removed.every((e) => e.expired_ms === -1 || e.expired_ms >= e.due_ms),
      );
    }),
    { numRuns: 300 },
  );
});

test("an expiring entry may remove another and add itself again", () => {
  const { time, wheel } = wheelAt(0);
  const other = new Entry(10, time);
  let runs = 0;
  const again: Expiring = {
    expires_slot: -1,
    before: null,
    after: null,
    expire() {
      runs++;
      wheel.remove(other);
      if (runs < 3) wheel.add(again, 5);
    },
  };
  wheel.add(other, 10);
  wheel.add(again, 10);
  for (let i = 0; i < 10; i++) {
    time.now_us += 10_000;
    wheel.advance();
  }
  assert.equal(runs, 3);
  assert.equal(other.expired_ms, -1);
});
