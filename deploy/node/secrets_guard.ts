/** Journals without the secrets that open them: a start would make new secrets, and decide known ids anew. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** Throws when the servers' folders in `data_dir` hold journals and `config_dir` has no secrets.json. */
export function requireSecrets(data_dir: string, config_dir: string): void {
  const file = join(config_dir, "secrets.json");
  if (existsSync(file) || !holdsJournals(join(data_dir, "nats"))) return;
  throw new Error(
    `${data_dir} holds journals, and ${file} is not there: nothing in them can be opened. ` +
      "Put secrets.json, tenants.json and cluster.key of that cluster there",
  );
}

/** Throws when there is no secrets.json in `config_dir`: for commands that open what is there, and make no secrets. */
export function requireSecretsFile(config_dir: string): void {
  const file = join(config_dir, "secrets.json");
  if (!existsSync(file)) throw new Error(`${file} is not there: without it no journal can be opened; say --config-dir`);
}

function holdsJournals(nats_dir: string): boolean {
  const stores = namesIn(nats_dir).map((name) => join(nats_dir, name, name === "store" ? "" : "store", "jetstream"));
  return stores.some((store) => namesIn(store).some((account) => existsSync(join(store, account, "streams", "FG_J0"))));
}

function namesIn(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true })
    .filter((e) => e.isDirectory())
    .map((e) => e.name);
}
