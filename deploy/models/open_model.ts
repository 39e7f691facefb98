/** The model that a node decides with: found, checked and loaded, or refused. */
import { resolve } from "node:path";
import type { Stage } from "../../actors/inference/registry/event_log.ts";
import type { VerifiedModel } from "./model_folder.ts";
import { loadSigned } from "./model_folder.ts";
import { ModelRegistry } from "./model_registry.ts";
import { DEFAULT_MODEL } from "./shipped.ts";

/** Nodes run one model today, of this family. */
const FAMILY = "xgboost_fraud";

export interface OpenModelOptions {
  /** A model's folder, whatever its stage; absent: the registry's champion or, without one, the shipped model. */
  readonly model_dir?: string;
  /** Folder of the registry; it need not be there. */
  readonly registry_dir: string;
  /** Files of keys that the model may be signed with, beside the registry's and those of shipped models. */
  readonly trusted_keys?: readonly string[];
}

export interface OpenedModel extends VerifiedModel {
  readonly dir: string;
  /** `shipped`: with the code; `named`: by its folder, which no registry speaks for. */
  readonly stage: Stage | "shipped" | "named";
}

/** Rejects with RegistryError or ModelError: nothing that is unsigned, changed or not approved is used. */
export async function openModel(o: OpenModelOptions): Promise<OpenedModel> {
  const registry = new ModelRegistry(o.registry_dir, { more_keys: o.trusted_keys });
  const contents = await registry.read();
  const { log, trust, model_trust } = contents;
  const champion = o.model_dir === undefined ? log.champion(FAMILY) : undefined;
  if (champion !== undefined) {
    log.requireApproved(champion, trust);
    const dir = registry.folderOf(champion.name);
    return { ...(await registry.load(champion, contents)), dir, stage: champion.stage };
  }
  const dir = resolve(o.model_dir ?? DEFAULT_MODEL);
  const stage = dir === resolve(DEFAULT_MODEL) ? "shipped" : "named";
  return { ...(await loadSigned(dir, model_trust, log)), dir, stage };
}
