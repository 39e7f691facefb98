import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { putFingerprint, searchFingerprint } from "./fingerprints.ts";

test("the newest place within the bounds whose byte is the key's is found; a held key is never missed", () => {
  const key = fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 2 ** 32 - 1 }));
  fc.assert(
    fc.property(fc.array(key, { minLength: 1, maxLength: 70 }), key, fc.nat(69), fc.nat(69), (keys, wanted, a, b) => {
      const words = new Uint32Array(24).fill(0xffffffff);
      for (const [place, k] of keys.entries()) putFingerprint(words, 2, place, k);
      const [stop, from] = [Math.min(a, b) % keys.length, Math.max(a, b) % keys.length];
      const byteOf = (k: number) => {
        const one = new Uint32Array(1);
        putFingerprint(one, 0, 0, k);
        return one[0];
      };
      let want = -1;
      for (let p = stop; p <= from; p++) if (byteOf(keys[p]) === byteOf(wanted)) want = p;
      assert.equal(searchFingerprint(words, 2, from, stop, wanted), want);
      assert.deepEqual([words[0], words[1]], [0xffffffff, 0xffffffff], "nothing before the bytes is touched");
    }),
  );
});
