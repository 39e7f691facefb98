/**
 * Owns the OpenAPI 3.1 document: schemas from the protobuf descriptors in their JSON mapping, descriptions (with the
 * limits) from the proto comments, paths and the errors each of them can answer with.
 */
import type { DescEnum, DescField, DescMessage } from "@bufbuild/protobuf";
import { ScalarType } from "@bufbuild/protobuf";
import {
  BulkAnalyzeRequestSchema,
  BulkAnalyzeResponseSchema,
  DecisionSchema,
  PaymentSchema,
  RecordEventRequestSchema,
  RecordEventResponseSchema,
  ReportOutcomeRequestSchema,
  ReportOutcomeResponseSchema,
} from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { readProtoComments } from "./proto_comments.ts";

type Json = Record<string, unknown>;

/** The document as plain JSON; made once, at the first request for it. */
export function openApiDocument(version: string): Json {
  const schemas = new SchemaMaker(readProtoComments());
  const ref = (m: DescMessage) => schemas.ref(m);
  const paths: Json = {
    "/v1/fraud/analyze": {
      post: operation(
        "analyze",
        "Decides one payment.",
        ref(PaymentSchema),
        ref(DecisionSchema),
        [409, 410],
        [TIMINGS],
      ),
    },
    "/v1/fraud/bulk-analyze": {
      post: operation(
        "bulkAnalyze",
        "Decides 1..1,000 payments; a bad payment has its own error, the rest is decided.",
        ref(BulkAnalyzeRequestSchema),
        ref(BulkAnalyzeResponseSchema),
        [],
        [TIMINGS],
      ),
    },
    "/v1/fraud/risk-score/{transaction_id}": {
      get: operation(
        "riskScore",
        "The stored decision of a payment.",
        null,
        ref(DecisionSchema),
        [404, 414],
        [
          parameter("transaction_id", "path", "1..64 bytes.", { type: "string" }),
          parameter("user_id", "query", "1..128 bytes; without it all shards are asked.", { type: "string" }),
        ],
      ),
    },
    "/v1/fraud/outcomes": {
      post: operation(
        "reportOutcome",
        "Reports what became known about a payment: the newest revision wins.",
        ref(ReportOutcomeRequestSchema),
        ref(ReportOutcomeResponseSchema),
        [],
        [],
      ),
    },
    "/v1/fraud/events": {
      post: operation(
        "recordEvent",
        "Records something that is not a payment.",
        ref(RecordEventRequestSchema),
        ref(RecordEventResponseSchema),
        [409],
        [],
      ),
    },
  };
  return {
    openapi: "3.1.0",
    info: { title: "FraudGuard", version, license: { name: "Apache-2.0", identifier: "Apache-2.0" } },
    security: [{ api_key: [] }],
    paths,
    components: {
      securitySchemes: { api_key: { type: "http", scheme: "bearer" } },
      schemas: { ...schemas.all(), Problem: PROBLEM },
    },
  };
}

const STATUS_TEXTS: Record<number, string> = {
  400: "A field is missing, out of range or of the wrong form.",
  401: "No valid API key.",
  403: "tenant_id is not the API key's tenant.",
  404: "No such decision.",
  405: "The address takes another method: see Allow.",
  408: "The body did not end in time.",
  409: "The same id of this user exists with other content.",
  410: "Decided before, too long ago: the decision is past the retry horizon and no longer kept.",
  413: "The body or the list is larger than its limit.",
  414: "transaction_id is longer than its limit.",
  415: "The body is not application/json in UTF-8, or is compressed.",
  429: "Too much waits already: try again after Retry-After seconds.",
  500: "An actor failed on this request; nothing was recorded.",
  503: "Not acknowledged at the deadline; outcome_unknown tells that it may still be recorded.",
};

const PROBLEM: Json = {
  type: "object",
  description: "RFC 9457 problem details.",
  required: ["type", "title", "status", "detail", "errors"],
  properties: {
    type: { type: "string" },
    title: { type: "string" },
    status: { type: "integer" },
    detail: { type: "string" },
    errors: {
      type: "array",
      items: {
        type: "object",
        required: ["field", "code", "message"],
        properties: {
          field: { type: "string", description: "Proto name of the field at fault; empty when it is none." },
          code: { type: "string" },
          message: { type: "string" },
        },
      },
    },
    outcome_unknown: { type: "boolean", description: "With 503: true when it may still be recorded." },
  },
};

const TIMINGS = parameter("timings", "query", "Adds the stage timings of the tick.", { type: "boolean" });

function parameter(name: string, where: "path" | "query", description: string, schema: Json): Json {
  return { name, in: where, required: where === "path", description, schema };
}

function operation(id: string, summary: string, body: Json | null, ok: Json, also: number[], parameters: Json[]): Json {
  const statuses = [400, 401, 403, 405, ...also, ...(body === null ? [] : [408, 413, 415]), 429, 500, 503];
  const responses: Json = { 200: { description: "Done.", content: { "application/json": { schema: ok } } } };
  for (const status of statuses.sort((a, b) => a - b)) responses[status] = problemResponse(status);
  const request =
    body === null ? {} : { requestBody: { required: true, content: { "application/json": { schema: body } } } };
  return { operationId: id, summary, parameters, ...request, responses };
}

function problemResponse(status: number): Json {
  const content = { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } };
  const headers = { "Retry-After": { description: "Seconds to wait.", schema: { type: "integer" } } };
  return { description: STATUS_TEXTS[status], content, ...(status === 429 ? { headers } : {}) };
}

/** Makes component schemas for messages and enums as they are referred to. */
class SchemaMaker {
  readonly #comments: ReadonlyMap<string, string>;
  readonly #made = new Map<string, Json>();

  constructor(comments: ReadonlyMap<string, string>) {
    this.#comments = comments;
  }

  all(): Json {
    return Object.fromEntries(this.#made);
  }

  ref(message: DescMessage): Json {
    if (!this.#made.has(message.name)) {
      this.#made.set(message.name, {});
      this.#made.set(message.name, this.#message(message));
    }
    return { $ref: `#/components/schemas/${message.name}` };
  }

  #message(message: DescMessage): Json {
    const properties: Json = {};
    const required: string[] = [];
    for (const field of message.fields) {
      const description = this.#comments.get(`${message.name}.${field.name}`);
      if (description?.startsWith("Required")) required.push(field.jsonName);
      properties[field.jsonName] = { ...this.#field(field), ...(description === undefined ? {} : { description }) };
    }
    const description = this.#comments.get(message.name);
    return {
      type: "object",
      ...(description === undefined ? {} : { description }),
      properties,
      ...(required.length > 0 ? { required } : {}),
    };
  }

  #field(field: DescField): Json {
    switch (field.fieldKind) {
      case "scalar":
        return scalar(field.scalar);
      case "enum":
        return this.#enum(field.enum);
      case "message":
        return this.#value(field.message);
      case "list":
        return { type: "array", items: this.#item(field) };
      case "map":
        return { type: "object", additionalProperties: this.#item(field) };
    }
  }

  #item(field: DescField & { fieldKind: "list" | "map" }): Json {
    const kind = field.fieldKind === "list" ? field.listKind : field.mapKind;
    if (kind === "message") return this.#value(field.message as DescMessage);
    if (kind === "enum") return this.#enum(field.enum as DescEnum);
    return scalar(field.scalar as ScalarType);
  }

  #value(message: DescMessage): Json {
    if (message.typeName === "google.protobuf.Value") return { type: ["number", "string", "boolean"] };
    return this.ref(message);
  }

  #enum(desc: DescEnum): Json {
    if (!this.#made.has(desc.name)) {
      const texts = desc.values.map((v) => [v.name, this.#comments.get(`${desc.name}.${v.name}`)] as const);
      const told = texts.filter(([, text]) => text !== undefined).map(([name, text]) => `${name}: ${text}`);
      const description = told.length > 0 ? { description: told.join(" ") } : {};
      this.#made.set(desc.name, { type: "string", enum: desc.values.map((v) => v.name), ...description });
    }
    return { $ref: `#/components/schemas/${desc.name}` };
  }
}

/** JSON mapping of scalars: 64-bit integers are strings (numbers are accepted too). */
function scalar(type: ScalarType): Json {
  switch (type) {
    case ScalarType.STRING:
      return { type: "string" };
    case ScalarType.BOOL:
      return { type: "boolean" };
    case ScalarType.FLOAT:
    case ScalarType.DOUBLE:
      return { type: "number" };
    case ScalarType.INT64:
    case ScalarType.UINT64:
    case ScalarType.SINT64:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return { type: ["string", "integer"], format: "int64", pattern: "^-?[0-9]+$" };
    case ScalarType.BYTES:
      return { type: "string", contentEncoding: "base64" };
    default:
      return { type: "integer" };
  }
}
