/**
 * Owns the TLS material of a gateway: PEM files read once at start, with or without client certificates (mutual TLS).
 */
import { readFileSync } from "node:fs";

export interface TlsOptions {
  /** PEM file: the server's certificate chain. */
  readonly cert_path: string;
  /** PEM file: its private key. */
  readonly key_path: string;
  /** PEM file: authorities whose client certificates are required; without it clients need none. */
  readonly client_ca_path?: string;
}

export interface TlsMaterial {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly client_ca: Buffer | null;
}

export function readTls(options: TlsOptions): TlsMaterial {
  return {
    cert: readFileSync(options.cert_path),
    key: readFileSync(options.key_path),
    client_ca: options.client_ca_path === undefined ? null : readFileSync(options.client_ca_path),
  };
}
