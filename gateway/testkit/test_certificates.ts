/** Certificates for the TLS tests: one authority that signs a server's and a client's, and another one's client. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { certify, makeAuthority } from "../../deploy/engines/certificates.ts";

/** PEM files in `folder`: ca.pem, server.pem + server.key, client.pem + client.key, stranger.pem + stranger.key. */
export function writeTestCertificates(folder: string): void {
  mkdirSync(folder, { recursive: true });
  const [ca, foreign] = [makeAuthority("test authority"), makeAuthority("another authority")];
  writeFileSync(join(folder, "ca.pem"), ca.certificate);
  for (const [who, signer] of [
    ["server", ca],
    ["client", ca],
    ["stranger", foreign],
  ] as const) {
    const own = certify(signer, who, { dns: ["localhost"], ips: [] });
    writeFileSync(join(folder, `${who}.pem`), own.certificate);
    writeFileSync(join(folder, `${who}.key`), own.key.export({ type: "pkcs8", format: "pem" }));
  }
}
