/** Owns the errors of identity: a broken configuration (fix the file), and a refused key (send another one). */

/** The tenants, secrets or rates file cannot be used as it is. The message names the entry; no secret is in it. */
export class IdentityError extends Error {
  override name = "IdentityError";
}

export type AuthenticationReason = "missing" | "malformed" | "unknown" | "disabled";

const MESSAGES: Record<AuthenticationReason, string> = {
  missing: "no API key: send `authorization: Bearer <key>`",
  malformed: "the authorization is not `Bearer <key>`",
  unknown: "the API key is not known",
  disabled: "the API key is disabled",
};

/** Why a caller is not let in; answered as UNAUTHENTICATED / 401. Never holds the key. */
export class AuthenticationFailure {
  readonly reason: AuthenticationReason;
  readonly message: string;
  constructor(reason: AuthenticationReason) {
    this.reason = reason;
    this.message = MESSAGES[reason];
  }
}
