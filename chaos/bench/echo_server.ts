/**
 * The yardstick of unary calls: a bare grpc-js server that returns each request's bytes. A process of its own; it
 * prints its port.
 */
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from "@grpc/grpc-js";

const same = (bytes: Buffer): Buffer => bytes;

function echo(call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>): void {
  done(null, call.request);
}

if (import.meta.main) {
  const server = new Server();
  const method = {
    path: "/fraudguard.v1.FraudDetection/Analyze",
    requestStream: false,
    responseStream: false,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  } as const;
  server.addService({ Analyze: method }, { Analyze: echo });
  server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
    if (error !== null) throw error;
    process.stdout.write(`listening on ${port}\n`);
  });
  process.once("SIGTERM", () => process.exit(0));
}
