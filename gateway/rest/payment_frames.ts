/** Owns the little protobuf that REST and NATS write by hand: a payment as field 1, with_timings as field 2. */

/** Field 2, true: of AnalyzeRequest and BulkAnalyzeRequest. */
export const WITH_TIMINGS: Uint8Array = Uint8Array.of(0x10, 1);

/** The payment's bytes as field 1 (AnalyzeRequest, BulkAnalyzeRequest) or another length-delimited field. */
export function frame(bytes: Uint8Array, field = 1): Uint8Array {
  const head = [field * 8 + 2];
  let rest = bytes.length;
  for (; rest >= 0x80; rest >>>= 7) head.push((rest & 0x7f) | 0x80);
  head.push(rest);
  return Buffer.concat([Buffer.from(head), bytes]);
}
