/** The model that comes with the code. */
export const DEFAULT_MODEL = new URL("../../actors/inference/models/xgboost_fraud_v1_2/", import.meta.url).pathname;

/** Its folder, with the keys that shipped models are signed with. */
export const SHIPPED_MODELS = new URL("../../actors/inference/models/", import.meta.url).pathname;
