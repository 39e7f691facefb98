/** What `npm start` prints once it serves: addresses, and calls to copy and paste. */

export interface Addresses {
  readonly grpc: string;
  readonly rest: string;
  readonly nats: string;
  readonly api_key: string;
}

/** A payment that is blocked because of its magic test card, with the event time of now. */
function example(): string {
  const payment = {
    transactionId: `try-${Date.now().toString(36)}`,
    userId: "ann",
    merchantId: "corner-shop",
    amountMinor: "1250",
    currency: "USD",
    eventTimeUs: String(Date.now() * 1000),
    cardToken: "fg_test_block",
    status: "AUTHORISED",
  };
  return JSON.stringify(payment);
}

export function printWelcome(a: Addresses, say: (line: string) => void): void {
  const payment = example();
  say("");
  say(`  gRPC     ${a.grpc}   (fraudguard.v1.FraudDetection, reflection on)`);
  say(`  REST     ${a.rest}   (${a.rest}/openapi.json, ${a.rest}/metrics)`);
  say(`  NATS     ${a.nats}   (publish to fraud.transaction.events)`);
  say(`  API key  ${a.api_key}`);
  say("");
  say("  Test cards: fg_test_allow, fg_test_challenge, fg_test_review, fg_test_block. Try:");
  say("");
  say(`  curl -s ${a.rest}/v1/fraud/analyze -H 'authorization: Bearer ${a.api_key}' \\`);
  say(`    -H 'content-type: application/json' -d '${payment}'`);
  say("");
  say(`  grpcurl -plaintext -H 'authorization: Bearer ${a.api_key}' -d '{"payment": ${payment}}' \\`);
  say(`    ${a.grpc} fraudguard.v1.FraudDetection/Analyze`);
  say("");
}
