/** Owns GetRiskScore: the cold read of a stored decision by its keyed hashes. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  DecisionSchema,
  ErrorCode,
  type GetRiskScoreRequest,
  GetRiskScoreRequestSchema,
  GetRiskScoreResponseSchema,
} from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { Tenant } from "../../proto/tenant.ts";
import { H, keyedHashText } from "../../runtime/kernel/keyed_hash.ts";
import type { Clock } from "../../runtime/ports.ts";
import type { EndpointMetrics } from "../metrics/gateway_metrics.ts";
import type { DecisionReader, KeyPair } from "../ports.ts";
import { atMost } from "./alarm.ts";
import type { DeadlineWheel } from "./deadline_wheel.ts";
import { statusName } from "./kinds.ts";
import { type Refusal, type Reply, refusal } from "./reply.ts";

/** Cold reads under way at once on a gateway; past it they are shed. */
const READS_MAX = 256;
/** Reads without a user among them: each searches all actors of the node, so a few must not take all its time. */
const SEARCHES_MAX = 2;

export class RiskScoreReader {
  readonly #decisions: DecisionReader;
  readonly #wheel: DeadlineWheel;
  readonly #clock: Clock;
  #reading = 0;
  #searching = 0;

  constructor(decisions: DecisionReader, wheel: DeadlineWheel, clock: Clock) {
    this.#decisions = decisions;
    this.#wheel = wheel;
    this.#clock = clock;
  }

  /** Reads the decision that the GetRiskScoreRequest in `bytes` asks for. The reply is told exactly once. */
  read(bytes: Uint8Array, tenant: Tenant, deadline_ms: number, reply: Reply, metrics: EndpointMetrics | null): void {
    const since_us = this.#clock.monotonicUs();
    const refuse = (refused: Refusal) => {
      metrics?.answered(statusName(refused.code), this.#clock.monotonicUs() - since_us);
      reply.refuse(refused);
    };
    const request = parse(bytes);
    if (!("transactionId" in request)) {
      refuse(request);
    } else if (this.#reading >= READS_MAX || (request.userId === "" && this.#searching >= SEARCHES_MAX)) {
      refuse(refusal(ErrorCode.RESOURCE_EXHAUSTED, "too many reads under way", { retry_after_ms: 100 }));
    } else {
      this.#find(request, tenant, deadline_ms).then(
        (response) => {
          if (response === null) refuse(refusal(ErrorCode.NOT_FOUND, "no decision with this transaction_id"));
          else {
            metrics?.answered("OK", this.#clock.monotonicUs() - since_us);
            reply.answer(response);
          }
        },
        () => refuse(refusal(ErrorCode.UNAVAILABLE, "the decision cannot be read now: ask again", RETRY)),
      );
    }
  }

  /** Bytes of the response, null when there is no decision. */
  async #find(request: GetRiskScoreRequest, tenant: Tenant, deadline_ms: number): Promise<Uint8Array | null> {
    const id = hashOf(tenant, request.transactionId);
    const user = request.userId === "" ? null : hashOf(tenant, request.userId);
    const found = await atMost(this.#wheel, deadline_ms, this.#counted(tenant.index, id, user));
    if (found === null) return null;
    const decision = fromBinary(DecisionSchema, found);
    return toBinary(GetRiskScoreResponseSchema, create(GetRiskScoreResponseSchema, { decision }));
  }

  /** A read is under way until it ends, not until its caller gave up: else late callers would pile up reads. */
  async #counted(tenant: number, id: KeyPair, user: KeyPair | null): Promise<Uint8Array | null> {
    this.#reading++;
    if (user === null) this.#searching++;
    try {
      return await this.#decisions.findDecision(tenant, id, user);
    } finally {
      this.#reading--;
      if (user === null) this.#searching--;
    }
  }
}

const RETRY = { retry_after_ms: 1000 };

function parse(bytes: Uint8Array): GetRiskScoreRequest | Refusal {
  let request: GetRiskScoreRequest;
  try {
    request = fromBinary(GetRiskScoreRequestSchema, bytes);
  } catch {
    return refusal(ErrorCode.MALFORMED, "the bytes are not a GetRiskScoreRequest");
  }
  if (request.transactionId === "") {
    return refusal(ErrorCode.REQUIRED, "transaction_id is missing", { field: "transaction_id" });
  }
  if (Buffer.byteLength(request.transactionId) > 64) {
    return refusal(ErrorCode.INVALID, "transaction_id must be 1 to 64 bytes", { field: "transaction_id" });
  }
  if (Buffer.byteLength(request.userId) > 128) {
    return refusal(ErrorCode.INVALID, "user_id must be at most 128 bytes", { field: "user_id" });
  }
  return request;
}

function hashOf(tenant: Tenant, text: string): KeyPair {
  keyedHashText(text, tenant.hash_key[0], tenant.hash_key[1]);
  return [H.hi, H.lo];
}
