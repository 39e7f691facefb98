/**
 * When the journal does not answer: stand-ins at the deadline, UNAVAILABLE where a tenant has none, shedding when too
 * much waits; and once it answers again, one decision for each id, whatever was said meanwhile.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { status } from "@grpc/grpc-js";
import { errorOf, TestClient } from "../../gateway/testkit/grpc_client.ts";
import { ROW_PAYMENT } from "../../proto/columns.ts";
import {
  type Decision,
  DecisionState,
  ErrorCode,
  Outcome,
  OutcomeKind,
} from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { FraudClient, type PaymentInit } from "../client/fraud_client.ts";
import { keyOf, readJournals, tenantsOf } from "./testkit/journal_rows.ts";
import { NodeProcess } from "./testkit/node_process.ts";
import { decisionOf, payment, paymentJson, START_US, sameness } from "./testkit/payments.ts";
import { until } from "./testkit/until.ts";

let node: NodeProcess;
let acme: TestClient;
let strict: TestClient;
let stopped = false;

before(async () => {
  node = await NodeProcess.launch();
  acme = new TestClient(node.grpcPort, node.keys.acme);
  strict = new TestClient(node.grpcPort, node.keys.strict);
  await acme.call("analyze", { payment: payment() });
});

after(async () => {
  if (stopped) resume();
  acme?.close();
  strict?.close();
  await node?.dispose();
});

function freeze(): void {
  process.kill(node.ready.nats_pid, "SIGSTOP");
  stopped = true;
}

function resume(): void {
  process.kill(node.ready.nats_pid, "SIGCONT");
  stopped = false;
}

async function analyze(client: TestClient, p: PaymentInit, deadline_ms?: number): Promise<Decision> {
  const options = deadline_ms === undefined ? {} : { deadline: Date.now() + deadline_ms };
  const { decision } = await client.call("analyze", { payment: p }, options);
  assert.ok(decision);
  return decision;
}

const unknown = (e: unknown) => {
  const detail = errorOf(e);
  return (
    detail.code === ErrorCode.UNAVAILABLE &&
    detail.outcomeUnknown &&
    (e as { code: number }).code === status.UNAVAILABLE
  );
};

async function rest(path: string, body: unknown, key: string) {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const response = await fetch(`${node.ready.rest}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  // biome-ignore lint/suspicious/noExplicitAny: JSON of many shapes.
  return { status: response.status, headers: response.headers, body: (await response.json()) as any };
}

/** The decision, once the journal answers again. */
async function eventually(client: TestClient, p: PaymentInit): Promise<Decision> {
  let decision: Decision | null = null;
  const isDecided = async () => {
    decision = await analyze(client, p).catch(() => null);
    return decision?.state === DecisionState.DECIDED;
  };
  await until(`${p.transactionId} is decided`, isDecided, 30_000, () => node.words());
  return decision as unknown as Decision;
}

test("without an acknowledgement: stand-ins, or UNAVAILABLE; then the one decision", async () => {
  const mine = [payment(), payment({ cardToken: "fg_test_block" }), payment({ cardToken: "fg_test_allow" })];
  const [withoutStandIn, byRest] = [payment(), payment()];
  const bulk = Array.from({ length: 5 }, () => payment());
  freeze();
  const stream = new FraudClient(node.ready.grpc, node.keys.acme);
  const about = { knownTimeUs: BigInt(START_US), outcome: OutcomeKind.REVERSAL, revision: 1 };
  const answers = await Promise.all([
    ...mine.map((p) => analyze(acme, p, 600)),
    stream.analyze(bulk).then((results) => results.map(decisionOf)),
    assert.rejects(analyze(strict, withoutStandIn), unknown),
    assert.rejects(acme.call("reportOutcome", { ...about, transactionId: "a", userId: "b" }), unknown),
    rest("/v1/fraud/analyze", paymentJson(byRest), node.keys.strict).then(({ status: code, body }) =>
      assert.deepEqual([code, body.outcome_unknown], [503, true], JSON.stringify(body)),
    ),
  ]);
  for (const d of answers.flat().filter((x) => x !== undefined)) {
    assert.deepEqual(
      [d.state, d.outcome, d.score, d.repeated],
      [DecisionState.PROVISIONAL, Outcome.REVIEW, undefined, false],
    );
  }
  const isUnready = async () => (await fetch(`${node.ready.rest}/ready`)).status === 503;
  await until("the node says that it is not ready", isUnready, 15_000, () => node.words());
  resume();
  for (const [client, payments] of [
    [acme, [...mine, ...bulk]],
    [strict, [withoutStandIn, byRest]],
  ] as const) {
    for (const p of payments) {
      const decided = await eventually(client, p);
      const again = await analyze(client, p);
      assert.deepEqual([again.repeated, sameness(again)], [true, sameness(decided)]);
    }
  }
  assert.equal((await eventually(acme, mine[1])).outcome, Outcome.BLOCK);
  assert.equal((await eventually(acme, mine[2])).outcome, Outcome.ALLOW);
  stream.close();
  await assertOnce([...mine, ...bulk], "acme");
  await assertOnce([withoutStandIn, byRest], "strict");
});

test("when too much waits it sheds at once, and decides again afterwards", async () => {
  const bulks = Array.from({ length: 40 }, () => Array.from({ length: 1000 }, () => payment()));
  freeze();
  const calls = bulks.map((payments) =>
    acme.call("bulkAnalyze", { payments }).then(
      ({ results }) => ({ payments, results, shed: null }),
      (shed: unknown) => ({ payments, results: null, shed }),
    ),
  );
  // The last ones are answered while the first still wait for their deadline.
  const answered = await Promise.all(calls);
  const shed = answered.filter((a) => a.shed !== null);
  assert.ok(shed.length > 0 && shed.length < bulks.length, `${shed.length} of ${bulks.length} shed`);
  for (const a of shed) {
    const detail = errorOf(a.shed);
    assert.equal((a.shed as { code: number }).code, status.RESOURCE_EXHAUSTED);
    assert.ok(detail.retryAfterMs > 0, JSON.stringify(detail));
  }
  // Single payments still find the places that bulks were too large for; then they are shed too.
  const singles = Array.from({ length: 300 }, () => rest("/v1/fraud/analyze", paymentJson(payment()), node.keys.acme));
  const refused = (await Promise.all(singles)).filter((a) => a.status === 429);
  assert.ok(refused.length > 0, "no single payment was shed");
  for (const a of refused) {
    assert.ok(Number(a.headers.get("retry-after")) > 0);
    assert.equal(a.body.errors[0].code, "RESOURCE_EXHAUSTED");
  }
  resume();
  const stream = new FraudClient(node.ready.grpc, node.keys.acme);
  await eventually(acme, payment());
  const all = bulks.flat();
  for (let i = 0; i < all.length; i += 500) for (const r of await stream.analyze(all.slice(i, i + 500))) decisionOf(r);
  stream.close();
  await assertOnce(all, "acme");
});

async function assertOnce(payments: readonly PaymentInit[], tenantId: string): Promise<void> {
  const tenants = tenantsOf(node.data_dir);
  const tenant = tenants.find((x) => x.id === tenantId);
  assert.ok(tenant);
  const { rows } = await readJournals(node.ready, 1, tenants);
  const times = new Map<string, number>();
  for (const r of rows)
    if (r.kind === ROW_PAYMENT) times.set(`${r.tenant} ${r.id}`, (times.get(`${r.tenant} ${r.id}`) ?? 0) + 1);
  for (const p of payments) {
    assert.equal(times.get(`${tenant.index} ${keyOf(tenant, p.transactionId as string)}`), 1, p.transactionId);
  }
}
