import assert from "node:assert/strict";
import { test } from "node:test";
import { Population } from "./population.ts";

test("the history has 8 payments of each user and 60 of every tenth", () => {
  const users = 20_000;
  const people = new Population(users, 500, 1);
  assert.equal(people.historyCount, 13.2 * users);
  const seen = new Uint8Array(users);
  for (let j = 0; j < people.historyCount; j++) seen[people.historyUser(j)]++;
  seen.forEach((n, user) => {
    assert.equal(n, user < users / 10 ? 60 : 8, `user ${user}`);
  });
  assert.equal(new Population(1_000_000, 50_000, 1).historyCount, 13_200_000);
});

test("a user's history is spread over the 30 days", () => {
  const people = new Population(4000, 500, 1);
  const at = new Map<number, number[]>();
  for (let j = 0; j < people.historyCount; j++) {
    const user = people.historyUser(j);
    at.set(user, [...(at.get(user) ?? []), (j * people.historyStepUs) / 86_400e6]);
  }
  for (const days of at.values()) assert.ok(Math.max(...days) - Math.min(...days) > 20);
});

test("one merchant has a tenth of the traffic, the others share the rest", () => {
  const people = new Population(4000, 100, 3);
  const seen = new Uint32Array(100);
  for (let i = 0; i < 200_000; i++) seen[people.drawMerchant()]++;
  assert.ok(Math.abs(seen[0] - 20_000) < 700, `${seen[0]}`);
  for (let m = 1; m < 100; m++) assert.ok(Math.abs(seen[m] - 1818) < 300, `merchant ${m}: ${seen[m]}`);
});

test("numbers of users that do not divide are refused", () => {
  assert.throws(() => new Population(1001, 10, 1), RangeError);
  assert.throws(() => new Population(4000, 1, 1), RangeError);
});
