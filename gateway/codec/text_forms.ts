/** Forms of short texts, checked on their bytes: card numbers and IP addresses. */

const ZERO = 0x30;
const DOT = 0x2e;
const COLON = 0x3a;

const SPACE = 0x20;
const HYPHEN = 0x2d;

/**
 * True for 12 to 19 digits, spaces and hyphens between them left out, that satisfy the Luhn check (ISO/IEC 7812-1,
 * annex B): a card number, not a token.
 */
export function isCardNumber(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start < 12) return false;
  let sum = 0;
  let digits = 0;
  for (let at = end - 1; at >= start; at--) {
    if (bytes[at] === SPACE || bytes[at] === HYPHEN) continue;
    let digit = bytes[at] - ZERO;
    if (digit < 0 || digit > 9) return false;
    if ((digits & 1) === 1) digit = digit > 4 ? digit * 2 - 9 : digit * 2;
    sum += digit;
    digits++;
  }
  return digits >= 12 && digits <= 19 && sum % 10 === 0;
}

/** True for an IPv4 or IPv6 address in text form (RFC 4291, section 2.2), without a zone. */
export function isIpText(bytes: Uint8Array, start: number, end: number): boolean {
  const n = end - start;
  if (n < 2 || n > 45) return false;
  for (let at = start; at < end; at++) if (bytes[at] === COLON) return isIpv6(bytes, start, end);
  return isIpv4(bytes, start, end);
}

function isIpv4(bytes: Uint8Array, start: number, end: number): boolean {
  let parts = 0;
  let part = -1;
  for (let at = start; at < end; at++) {
    const b = bytes[at];
    if (b === DOT) {
      if (part < 0 || parts === 3) return false;
      parts++;
      part = -1;
    } else {
      const digit = b - ZERO;
      // A leading zero is refused: some readers take such a part as octal.
      if (digit < 0 || digit > 9 || part === 0) return false;
      part = part < 0 ? digit : part * 10 + digit;
      if (part > 255) return false;
    }
  }
  return parts === 3 && part >= 0;
}

function isHex(b: number): boolean {
  const lower = b | 0x20;
  return (b >= ZERO && b <= 0x39) || (lower >= 0x61 && lower <= 0x66);
}

function isIpv6(bytes: Uint8Array, start: number, end: number): boolean {
  let groups = 0;
  let gap = false;
  let at = start;
  if (bytes[at] === COLON) {
    if (bytes[at + 1] !== COLON) return false;
    gap = true;
    at += 2;
  }
  while (at < end) {
    const first = at;
    while (at < end && isHex(bytes[at])) at++;
    if (at < end && bytes[at] === DOT) {
      if (!isIpv4(bytes, first, end)) return false;
      groups += 2;
      break;
    }
    if (at === first || at - first > 4) return false;
    groups++;
    if (at === end) break;
    if (bytes[at++] !== COLON || at === end) return false;
    if (bytes[at] === COLON) {
      if (gap) return false;
      gap = true;
      at++;
    }
  }
  return gap ? groups < 8 : groups === 8;
}
