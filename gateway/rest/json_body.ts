/**
 * Owns how bodies come in: JSON in UTF-8, as it is (not compressed), up to a limit of bytes. Bytes that are no UTF-8
 * are refused before they are read: a lenient decoder writes U+FFFD for each of them, and ids that differ become one.
 */
import { isUtf8 } from "node:buffer";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { ErrorCode } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { refusal } from "../calls/reply.ts";
import { ProblemError } from "./problem.ts";

/**
 * Largest body of one payment, outcome or event, bytes. A payment at every limit of the proto whose JSON escapes each
 * byte (six bytes for one) takes 129,000: 64 attributes with names of 64 and texts of 256 bytes are 123,000 of them.
 * What is left is room for white space and fields that are not known here.
 */
export const BODY_BYTES_MAX = 192 << 10;
/** Largest body of a bulk call, bytes: 1,000 payments with long fields. */
export const BULK_BODY_BYTES_MAX = 8 << 20;

const CHARSET = /;\s*charset\s*=\s*"?([^\s;"]*)/i;

/** Leaves the app with one kind of body: application/json. Keys that would change prototypes stay refused. */
export function takeJsonBodies(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser("error", "error");
  app.removeContentTypeParser("text/plain");
  app.addContentTypeParser<Buffer>("application/json", { parseAs: "buffer" }, (request, body, done) => {
    if (isUtf8(body)) return parse(request, body.toString("utf8"), done);
    done(new ProblemError(refusal(ErrorCode.NOT_UTF8, "the body is not UTF-8: send JSON encoded in UTF-8")));
  });
}

/** Throws the problem of a body that is announced in another encoding: known from the headers, before it is read. */
export function refuseOtherEncodings(request: FastifyRequest): void {
  if (request.method !== "POST") return;
  const { "content-encoding": coding, "content-type": type } = request.headers;
  if (coding !== undefined && coding.trim().toLowerCase() !== "identity") {
    throw unsupported("the body has a content-encoding: send it uncompressed, without that header");
  }
  const charset = CHARSET.exec(type ?? "")?.[1].toLowerCase() ?? "utf-8";
  if (charset !== "utf-8" && charset !== "utf8") {
    throw unsupported("the body has another charset: send JSON in UTF-8, with content-type: application/json");
  }
}

function unsupported(message: string): ProblemError {
  return new ProblemError(refusal(ErrorCode.MALFORMED, message), 415);
}
