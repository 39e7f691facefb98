import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CHUNK_CLASS, CLASS_EVENTS, EventArena, SLAB_BITS, SLAB_MASK } from "./event_arena.ts";
import { MaxDeque } from "./max_deque.ts";
import { PositionMap } from "./position_map.ts";
import { RADIX, squareHi, squareLo, variance } from "./tally.ts";

const nat = fc.integer({ min: 0, max: 1 << 30 });

test("squares are exact, variance agrees with big integers to 1e-9", () => {
  const amount = fc.oneof(
    fc.integer({ min: 0, max: 2 ** 40 - 1 }),
    fc.integer({ min: 99_999_999_990, max: 1e11 }),
    fc.nat(500),
  );
  fc.assert(
    fc.property(fc.array(amount, { minLength: 1, maxLength: 60 }), (list) => {
      let hi = 0;
      let lo = 0;
      for (const a of list) {
        const h = squareHi(a);
        const l = squareLo(a, h);
        assert.ok(l >= 0 && l < RADIX);
        assert.equal(BigInt(h) * BigInt(RADIX) + BigInt(l), BigInt(a) * BigInt(a));
        hi += h;
        lo += l;
        if (lo >= RADIX) {
          lo -= RADIX;
          hi++;
        }
      }
      const n = BigInt(list.length);
      const sum = list.reduce((s, a) => s + BigInt(a), 0n);
      const squares = list.reduce((s, a) => s + BigInt(a) * BigInt(a), 0n);
      const want = Number(((n * squares - sum * sum) * 10n ** 12n) / (n * n)) / 1e12;
      const got = variance(list.length, Number(sum), Number(sum) / list.length, hi, lo);
      assert.ok(Math.abs(got - want) <= 1e-9 * want + 1e-11, `${got}, wanted ${want}`);
    }),
    { numRuns: 500 },
  );
});

test("a position map answers as a plain list of pairs, through growth, splits and removals", () => {
  const op = fc.tuple(fc.integer({ min: 0, max: CLASS_EVENTS.length - 1 }), nat, fc.integer({ min: 0, max: 40 }));
  fc.assert(
    fc.property(fc.array(op, { maxLength: 400 }), fc.integer({ min: 1, max: 5000 }), (ops, keys) => {
      const m = new PositionMap();
      const pairs: [number, number][] = [];
      let next = 0;
      for (const [what, n, burst] of ops) {
        const key = n % keys;
        if (what < 6) {
          for (let i = 0; i < burst * 10; i++) {
            m.add((key + i) % keys, next);
            pairs.push([(key + i) % keys, next++]);
          }
        } else if (what < 8 && pairs.length > 0) {
          for (let i = 0; i < burst * 5 && pairs.length > 0; i++) {
            const [[k, v]] = pairs.splice((n + i) % pairs.length, 1);
            m.remove(k, v);
          }
        } else if (pairs.length > 0) {
          const p = pairs[n % pairs.length];
          m.remove(p[0], p[1]);
          m.add(p[0], next);
          p[1] = next++;
        }
        assert.equal(m.size, pairs.length);
        const got: number[] = [];
        for (let v = m.first(key); v >= 0; v = m.next()) got.push(v);
        const want = pairs.filter(([k]) => k === key).map(([, v]) => v);
        assert.deepEqual(
          got.sort((a, b) => a - b),
          want.sort((a, b) => a - b),
        );
      }
      for (const [k] of pairs) assert.ok(m.get(k) >= 0);
    }),
    { numRuns: 40 },
  );
});

test("the deque holds the suffix maxima while positions wrap around", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(30)), { maxLength: 200 }), fc.boolean(), (ops, wrap) => {
      const d = new MaxDeque();
      let head = wrap ? 0x7fffffff - 20 : 0;
      let model: number[] = [];
      for (const [pop, a] of ops) {
        if (pop && model.length > 3) {
          if (d.length > 0 && d.position(0) === head) d.popFront();
          head = (head + 1) & 0x7fffffff;
          model = model.slice(1);
        } else if (a % 5 === 0 && model.length > 0) {
          const i = a % model.length;
          const p = (head + i) & 0x7fffffff;
          d.shift(p, head);
          d.insert(p, head, a);
          model.splice(i, 0, a);
        } else {
          d.push((head + model.length) & 0x7fffffff, a);
          model.push(a);
        }
        model.forEach((_, i) => {
          const k = d.search((head + i) & 0x7fffffff, head, 0);
          assert.equal(d.seek((head + i) & 0x7fffffff, head, 0), k);
          assert.equal(d.amount(k), Math.max(...model.slice(i)));
        });
      }
    }),
    { numRuns: 100 },
  );
});

test("segments never overlap, are used again, and emptied pages serve every class", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(nat, fc.integer({ min: 0, max: 9 })), { maxLength: 300 }), (ops) => {
      const arena = new EventArena(6);
      arena.free(arena.alloc(0));
      const live: { ref: number; cls: number; mark: number }[] = [];
      let mark = 0;
      for (const [n, cls] of ops) {
        if (n % 3 === 0 && live.length > 0) {
          const [s] = live.splice(n % live.length, 1);
          const words = arena.slabs[s.ref >>> SLAB_BITS];
          const at = (s.ref & SLAB_MASK) * 6;
          assert.ok(words.subarray(at, at + CLASS_EVENTS[s.cls] * 6).every((v) => v === s.mark));
          arena.free(s.ref);
        } else {
          const s = { ref: arena.alloc(cls), cls, mark: ++mark };
          const at = (s.ref & SLAB_MASK) * 6;
          arena.slabs[s.ref >>> SLAB_BITS].fill(s.mark, at, at + CLASS_EVENTS[cls] * 6);
          live.push(s);
        }
      }
      for (const s of live) {
        const at = (s.ref & SLAB_MASK) * 6;
        assert.equal(arena.slabs[s.ref >>> SLAB_BITS][at], s.mark);
        arena.free(s.ref);
      }
      const before = arena.bytes();
      for (let i = 0; i < 500; i++) arena.alloc(CHUNK_CLASS);
      assert.equal(arena.bytes(), before);
    }),
    { numRuns: 60 },
  );
});
