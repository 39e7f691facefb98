/**
 * Owns what protobuf's JSON converter may be given. It takes any number of map entries and texts of any length, and its
 * time grows with both: a body of a few megabytes would hold the thread for more than a second. Limits here lie above
 * those of the proto, so that they refuse nothing which the codec would take, and say it in the codec's words.
 */
import { type DescField, type DescMessage, type JsonObject, type JsonValue, ScalarType } from "@bufbuild/protobuf";
import { ROW_EVENT, ROW_OUTCOME, ROW_PAYMENT } from "../../proto/columns.ts";
import {
  ErrorCode,
  PaymentSchema,
  RecordEventRequestSchema,
  ReportOutcomeRequestSchema,
} from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { type Refusal, refusal } from "../calls/reply.ts";
import { errorMessage } from "../codec/errors.ts";

/** Characters of a text; the longest that the proto allows is an attribute of 256 bytes. */
const TEXT_MAX = 1024;
/** Characters of an integer sent as a text: 20 are the longest 64-bit number. */
const INTEGER_TEXT_MAX = 24;
/** Entries of `attributes`, as the proto has it. */
const ENTRIES_MAX = 64;
/** Members of one object, unknown ones included: even walking more of them takes longer than deciding a payment. */
const MEMBERS_MAX = 1024;

/** The messages whose fields the codec has texts for. */
const ROW_KINDS = new Map<DescMessage, number>([
  [PaymentSchema, ROW_PAYMENT],
  [ReportOutcomeRequestSchema, ROW_OUTCOME],
  [RecordEventRequestSchema, ROW_EVENT],
]);

interface Limits {
  /** By the names that a member may have. */
  readonly fields: ReadonlyMap<string, DescField>;
  readonly enums: readonly { readonly field: DescField; readonly names: ReadonlySet<string> }[];
}

/** Made once a message. */
const limitsByMessage = new Map<DescMessage, Limits>();

/**
 * Why the object must not be converted to the message, null when it may. Every payment comes by here: members are
 * walked without a list of their names, and only objects and texts that are long for a number are looked into.
 */
export function beyondLimits(schema: DescMessage, json: JsonObject): Refusal | null {
  const { fields, enums } = limitsOf(schema);
  let members = 0;
  for (const name in json) {
    if (++members > MEMBERS_MAX) {
      const message = `an object has more than ${MEMBERS_MAX} members: send only the fields in /openapi.json`;
      return refusal(ErrorCode.INVALID, message);
    }
    const value = json[name];
    if (typeof value === "string" ? value.length <= INTEGER_TEXT_MAX : typeof value !== "object") continue;
    const field = fields.get(name);
    const wrong = field === undefined ? null : badValue(field, value);
    if (wrong !== null) return wrong;
  }
  for (const { field, names } of enums) {
    const value = json[field.jsonName] ?? json[field.name];
    if (typeof value === "string" && !names.has(value)) return unknownName(field, names);
  }
  return null;
}

function limitsOf(schema: DescMessage): Limits {
  let limits = limitsByMessage.get(schema);
  if (limits === undefined) {
    const fields = new Map(schema.fields.flatMap((f) => [[f.name, f] as const, [f.jsonName, f] as const]));
    const enums = schema.fields
      .filter((f) => f.fieldKind === "enum")
      .map((field) => ({ field, names: new Set(field.enum.values.map((v) => v.name)) }));
    limits = { fields, enums };
    limitsByMessage.set(schema, limits);
  }
  return limits;
}

function badValue(field: DescField, value: JsonValue): Refusal | null {
  if (typeof value === "string") {
    const max = isInteger(field) ? INTEGER_TEXT_MAX : TEXT_MAX;
    return value.length > max ? refusalOf(field, ErrorCode.INVALID, `is longer than ${max} characters`) : null;
  }
  if (!isObject(value)) return null;
  if (field.fieldKind === "map") return badEntry(field, value);
  return field.fieldKind === "message" ? beyondLimits(field.message, value) : null;
}

function isInteger(field: DescField): boolean {
  switch (field.scalar) {
    case undefined:
    case ScalarType.STRING:
    case ScalarType.BYTES:
    case ScalarType.BOOL:
    case ScalarType.FLOAT:
    case ScalarType.DOUBLE:
      return false;
    default:
      return true;
  }
}

/** Unknown enum names would be ignored like unknown fields; they are mistakes, so they are named. */
function unknownName(field: DescField, names: ReadonlySet<string>): Refusal {
  const message = `expected one of ${[...names].slice(1).join(", ")}`;
  return refusal(ErrorCode.INVALID, message, { field: field.name });
}

/** Lists and structs are refused by the codec in any case, and would be converted with everything in them first. */
function badEntry(field: DescField, entries: JsonObject): Refusal | null {
  let count = 0;
  for (const name in entries) {
    if (++count > ENTRIES_MAX) return refusalOf(field, ErrorCode.INVALID, `has more than ${ENTRIES_MAX} entries`);
    const value = entries[name];
    const text = typeof value === "string" ? value : "";
    if (typeof value === "object" || name.length > TEXT_MAX || text.length > TEXT_MAX) {
      return refusalOf(field, ErrorCode.INVALID, `has a list, or a text of more than ${TEXT_MAX} characters`);
    }
    // Half a surrogate pair has no UTF-8: the encoder would write U+FFFD for it, and different texts become one.
    if (!text.isWellFormed()) return refusalOf(field, ErrorCode.NOT_UTF8, "has a text that is not valid Unicode");
  }
  return null;
}

/** In the codec's words where it has some for the field, so that a limit reads the same from wherever it is told. */
function refusalOf(field: DescField, code: ErrorCode, otherwise: string): Refusal {
  const kind = ROW_KINDS.get(field.parent);
  const message = kind === undefined ? `${field.name} ${otherwise}` : errorMessage(kind, code, field.number);
  return refusal(code, message, { field: field.name });
}

export function isObject(json: unknown): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}
