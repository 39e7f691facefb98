/**
 * Who may import whom, as one table: proto <- runtime/kernel <- actors; the runtime never imports actors; only deploy
 * and chaos see adapters; nothing imports chaos, except tests the oracle.
 */
import type { SourceFile } from "./source.ts";
import { isTestCode, type Violation } from "./violation.ts";

interface Layer {
  readonly name: string;
  readonly pattern: RegExp;
  /** Names of layers; its own is always among them. */
  readonly imports: readonly string[];
}

const EVERY_PRODUCT_LAYER = [
  "proto",
  "kernel",
  "ports",
  "runtime",
  "nats",
  "descriptions",
  "actors",
  "gateway",
  "deploy",
];

/** The first pattern that fits decides. */
const LAYERS: readonly Layer[] = [
  { name: "proto", pattern: /^proto\//, imports: [] },
  { name: "kernel", pattern: /^runtime\/kernel\//, imports: ["proto"] },
  { name: "nats", pattern: /^runtime\/nats\//, imports: ["proto", "kernel", "ports", "runtime"] },
  { name: "ports", pattern: /^runtime\/(?:ports|router)(?:\.ts$|\/)/, imports: ["proto", "kernel"] },
  { name: "runtime", pattern: /^runtime\//, imports: ["proto", "kernel", "ports"] },
  {
    name: "descriptions",
    pattern: /^actors\/(?:features|rules)\//,
    imports: ["proto", "kernel", "ports", "runtime", "actors"],
  },
  { name: "actors", pattern: /^actors\//, imports: ["proto", "kernel", "ports", "runtime", "descriptions"] },
  { name: "workflows", pattern: /^workflows\//, imports: ["proto"] },
  { name: "gateway", pattern: /^gateway\//, imports: ["proto", "kernel", "ports", "descriptions"] },
  // The local engines and test helpers: the one part of deploy that tests everywhere may use.
  { name: "engines", pattern: /^deploy\/(?:engines|testing)\//, imports: [] },
  { name: "deploy", pattern: /^deploy\//, imports: [...EVERY_PRODUCT_LAYER, "workflows", "engines"] },
  { name: "oracle", pattern: /^chaos\/oracle\//, imports: ["proto"] },
  { name: "chaos", pattern: /^chaos\//, imports: [...EVERY_PRODUCT_LAYER, "workflows", "engines", "oracle"] },
];

/** What tests of any layer may import beside what their layer may. */
const FOR_TESTS = ["oracle", "engines", "nats"];
const NATS_CLIENT = /^@nats-io\//;
/** Which layers may name the NATS client; tests may everywhere. */
const NATS_LAYERS = ["nats", "chaos"];

/** Every import that the table does not allow. */
export function checkLayers(files: readonly SourceFile[]): Violation[] {
  return files.flatMap(checkFile);
}

function checkFile(file: SourceFile): Violation[] {
  const { path } = file;
  const from = layerOf(path);
  if (from === undefined) return [];
  const isTest = isTestCode(path);
  const allowed = new Set([from.name, ...from.imports, ...(isTest ? FOR_TESTS : [])]);
  const violations: Violation[] = [];
  for (const { line, specifier, isTypeOnly, target } of file.imports) {
    if (NATS_CLIENT.test(specifier) && !isTest && !NATS_LAYERS.includes(from.name)) {
      const message = `${from.name} imports ${specifier}: only runtime/nats speaks to the NATS client`;
      violations.push({ rule: "layering", path, line, message });
    }
    const to = target === undefined ? undefined : layerOf(target);
    if (to === undefined || allowed.has(to.name)) continue;
    // Types of ports may be named everywhere; proto alone knows nothing.
    if (isTypeOnly && to.name === "ports" && from.name !== "proto" && from.name !== "oracle") continue;
    violations.push({ rule: "layering", path, line, message: `${from.name} may not import ${to.name} (${specifier})` });
  }
  return violations;
}

function layerOf(path: string): Layer | undefined {
  return LAYERS.find((layer) => layer.pattern.test(path));
}
