import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { NO_TRACING, openTracing } from "./tracing.ts";

test("one batch in `every` becomes four spans, sent as OTLP protobuf", async () => {
  const bodies: Buffer[] = [];
  const server = createServer(async (request, response) => {
    bodies.push(Buffer.concat(await Array.fromAsync(request)));
    assert.equal(request.headers["content-type"], "application/x-protobuf");
    response.end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const otlp_url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/traces`;
  const tracer = await openTracing({ otlp_url, service_name: "test", every: 3 });
  const sampled = Array.from({ length: 9 }, () => tracer.sampled());
  assert.deepEqual(sampled, [false, false, true, false, false, true, false, false, true]);
  tracer.trace([1000, 2000, 3000, 4000, 5000], 1_768_435_200_000_000, "acme", 64);
  await tracer.close();
  server.close();
  const text = Buffer.concat(bodies).toString("latin1");
  for (const name of ["fraud_analysis", "feature_extraction", "ml_inference", "rule_evaluation"]) {
    assert.equal(text.split(name).length, 2, name);
  }
  // Start of ml_inference: the end minus journal, rules and inference, as fixed64 nanoseconds.
  const start = Buffer.alloc(8);
  start.writeBigUInt64LE((1_768_435_200_000_000n - 12_000n) * 1000n);
  assert.ok(Buffer.concat(bodies).includes(start));
});

test("without an endpoint nothing is sampled", async () => {
  assert.equal(await openTracing(null), NO_TRACING);
  assert.equal(NO_TRACING.sampled(), false);
});
