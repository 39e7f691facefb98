import assert from "node:assert/strict";
import { test } from "node:test";
import { LETTER_BYTES_MAX, letterBytes } from "./dead_letter.ts";

const star = (text: string): string => Buffer.from(letterBytes(Buffer.from(text, "latin1"))).toString("latin1");

test("card numbers are starred out wherever they stand, other digits stay", () => {
  const cases: [string, string][] = [
    ['{"cardToken":"4111111111111111"}', '{"cardToken":"****************"}'],
    ["4111 1111 1111 1111,", "*******************,"],
    ["a 4111-1111-1111-1111\xff", "a *******************\xff"],
    ["4111111111111111 4111111111111111", "**************** ****************"],
    ["order 7 4111 1111 1111 1111 12/27", "order 7 ******************* 12/27"],
    ['"amountMinor":"4111111111111112"', '"amountMinor":"4111111111111112"'],
    // A time that happens to satisfy the Luhn check.
    ['"eventTimeUs":"1768435200000003"', '"eventTimeUs":"1768435200000003"'],
    ["", ""],
  ];
  for (const [text, expected] of cases) assert.equal(star(text), expected);
});

test("a letter is cut, and the message stays as it was", () => {
  const message = Buffer.alloc(LETTER_BYTES_MAX + 5, 0x61);
  assert.equal(letterBytes(message).length, LETTER_BYTES_MAX);
  const card = Buffer.from("4111111111111111");
  letterBytes(card);
  assert.equal(card.toString(), "4111111111111111");
});
