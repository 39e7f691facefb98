/** What can be wrong with the registry of models, its keys and its signatures: a closed set of codes. */
export type RegistryErrorCode =
  /** A file is not what this code reads; the message names it and the field. */
  | "format"
  | "missing"
  /** A model without signature.json. */
  | "unsigned"
  /** A file or a record is not what was signed. */
  | "tampered"
  /** Signed with a key that nobody here trusts. */
  | "unknown_key"
  /** The key's role, or its end, forbids it. */
  | "not_allowed"
  /** A version is approved by somebody else than who made or added it. */
  | "same_person"
  /** Nobody else has approved the version. */
  | "not_approved"
  /** Not from the stage that the version is in. */
  | "transition"
  | "unknown_model"
  | "exists"
  /** Another process works on the registry. */
  | "busy"
  /** A private key that cannot be used, or that others can read. */
  | "key";

export class RegistryError extends Error {
  override name = "RegistryError";
  readonly code: RegistryErrorCode;
  constructor(code: RegistryErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
