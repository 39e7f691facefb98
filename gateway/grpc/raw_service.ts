/**
 * Owns the service definition that grpc-js registers for FraudDetection: method paths from the generated descriptor,
 * messages as the bytes they came in.
 */
import type { MethodDefinition, ServiceDefinition } from "@grpc/grpc-js";
import { FraudDetection } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function same(bytes: Buffer): Buffer {
  return bytes;
}

/** Definition by method name (`Analyze`, ...), raw bytes in and out. */
export const RAW_SERVICE: ServiceDefinition = Object.fromEntries(
  FraudDetection.methods.map((m): [string, MethodDefinition<Uint8Array, Uint8Array>] => {
    const bidi = m.methodKind === "bidi_streaming";
    return [
      m.name,
      {
        path: `/${FraudDetection.typeName}/${m.name}`,
        requestStream: bidi,
        responseStream: bidi,
        requestSerialize: bufferOf,
        requestDeserialize: same,
        responseSerialize: bufferOf,
        responseDeserialize: same,
      },
    ];
  }),
);
