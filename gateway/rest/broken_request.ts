/**
 * Owns the answers to requests that no route sees: addresses that cannot be decoded, bytes that are no HTTP, headers
 * that are too large, requests that do not end. They are problems like all others, and unlike the framework's own
 * answers they repeat nothing of what came in.
 */
import { type ServerResponse, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { FastifyError, FastifyReply } from "fastify";
import { ErrorCode } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { type Refusal, refusal } from "../calls/reply.ts";
import { problemOf, sendProblem } from "./problem.ts";

const BAD_ESCAPE = "the address has a % that does not begin UTF-8: percent-encode the bytes of the id's UTF-8";
const LONG_ID = "transaction_id must be 1 to 64 bytes of UTF-8";
const UNREADABLE =
  "the bytes are not an HTTP/1.1 request: check its method, headers and framing, and that http:// or https:// is right";

/** Answers what the router could not route. */
export function answerUnroutable(error: FastifyError, reply: FastifyReply): void {
  const long = error.code === "FST_ERR_MAX_PARAM_LENGTH";
  const refused = long
    ? refusal(ErrorCode.INVALID, LONG_ID, { field: "transaction_id" })
    : refusal(ErrorCode.MALFORMED, BAD_ESCAPE);
  sendProblem(reply, refused, error.statusCode ?? 400);
}

/**
 * Answers bytes that are no whole request and closes the connection: what follows them cannot be read. While the
 * request before them still waits for its own answer, that one goes out as the last: a problem in its place would be
 * taken for it. Node keeps the response under this name, and looks at it there before its own answers too.
 */
export function answerBroken(
  error: Error & { readonly code?: string },
  socket: Socket & { readonly _httpMessage?: ServerResponse | null },
): void {
  const waiting = socket._httpMessage;
  const alive = error.code !== "ECONNRESET" && socket.writable;
  if (alive && waiting?.req.complete && !waiting.headersSent) {
    waiting.shouldKeepAlive = false;
    return;
  }
  if (alive && !waiting?.headersSent) socket.write(responseText(...brokenBy(error.code)));
  socket.destroy(error);
}

function brokenBy(code: string | undefined): [status: number, refused: Refusal] {
  switch (code) {
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return [408, refusal(ErrorCode.MALFORMED, "the request did not end in time: send it again, whole")];
    case "HPE_HEADER_OVERFLOW":
      return [431, refusal(ErrorCode.MALFORMED, "the headers and the address are larger than 16 KiB: send fewer")];
    default:
      return [400, refusal(ErrorCode.MALFORMED, UNREADABLE)];
  }
}

function responseText(status: number, refused: Refusal): string {
  const body = JSON.stringify(problemOf(refused, status));
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "content-type: application/problem+json",
    `content-length: ${Buffer.byteLength(body)}`,
    "connection: close",
    "",
    body,
  ].join("\r\n");
}
