/** Owns how refusals look in HTTP: problem+json (RFC 9457) with `errors: [{field, code, message}]`, and the headers. */
import type { FastifyReply } from "fastify";
import { ErrorCode } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { type Refusal, refusal } from "../calls/reply.ts";

const HTTP_STATUS: Record<number, number> = {
  [ErrorCode.MALFORMED]: 400,
  [ErrorCode.REQUIRED]: 400,
  [ErrorCode.INVALID]: 400,
  [ErrorCode.NOT_UTF8]: 400,
  [ErrorCode.UNAUTHENTICATED]: 401,
  [ErrorCode.PERMISSION_DENIED]: 403,
  [ErrorCode.NOT_FOUND]: 404,
  [ErrorCode.ALREADY_EXISTS]: 409,
  [ErrorCode.EXPIRED]: 410,
  [ErrorCode.RESOURCE_EXHAUSTED]: 429,
  [ErrorCode.INTERNAL]: 500,
  [ErrorCode.UNAVAILABLE]: 503,
};

const TITLES: Record<number, string> = {
  400: "The request cannot be used",
  401: "No valid API key",
  403: "Not allowed",
  404: "Not found",
  405: "Method not allowed",
  408: "Not sent in time",
  409: "Exists with other content",
  410: "No longer kept",
  413: "Too large",
  414: "Address too long",
  415: "Unsupported media type",
  429: "Too many requests",
  431: "Headers too large",
  500: "Internal error",
  503: "Unavailable",
};

const NAMES = new Map<number, string>(Object.entries(ErrorCode).map(([name, number]) => [number as number, name]));

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly errors: readonly { readonly field: string; readonly code: string; readonly message: string }[];
  /** Present with 503: true when the request may still be recorded. */
  readonly outcome_unknown?: boolean;
}

export function errorName(code: ErrorCode): string {
  return NAMES.get(code) ?? "ERROR_CODE_UNSPECIFIED";
}

/** A problem that ends the request; thrown by handlers, sent by the error handler. */
export class ProblemError extends Error {
  override name = "ProblemError";
  readonly refusal: Refusal;
  readonly status: number;
  constructor(refused: Refusal, status = HTTP_STATUS[refused.code] ?? 500) {
    super(refused.message);
    this.refusal = refused;
    this.status = status;
  }
}

/** 413: the body or the list is larger than the limit. */
export function tooLarge(message: string, field = ""): ProblemError {
  return new ProblemError(refusal(ErrorCode.INVALID, message, { field }), 413);
}

export function problemOf(refused: Refusal, status: number): Problem {
  const name = errorName(refused.code);
  const problem: Problem = {
    type: `urn:fraudguard:problem:${name.toLowerCase().replaceAll("_", "-")}`,
    title: TITLES[status] ?? "Error",
    status,
    detail: namesField(refused) ? refused.message : `${refused.field}: ${refused.message}`,
    errors: [{ field: refused.field, code: name, message: refused.message }],
  };
  return status === 503 ? { ...problem, outcome_unknown: refused.outcomeUnknown } : problem;
}

/** Most messages begin with the field's name: said once is enough. */
function namesField(refused: Refusal): boolean {
  return refused.message.startsWith(refused.field);
}

export function sendProblem(reply: FastifyReply, refused: Refusal, status: number): void {
  if (refused.retryAfterMs > 0) reply.header("retry-after", Math.ceil(refused.retryAfterMs / 1000));
  if (status === 401) reply.header("www-authenticate", "Bearer");
  reply
    .code(status)
    .type("application/problem+json")
    .send(JSON.stringify(problemOf(refused, status)));
}
