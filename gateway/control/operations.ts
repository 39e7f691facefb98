/**
 * What an operator may ask of a node: the port between the admin service and whoever runs the node. Shapes are those of
 * the public schema.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  DrainResponseSchema,
  GetStatusResponseSchema,
  RebalanceResponseSchema,
  SetWeightResponseSchema,
  UndrainResponseSchema,
} from "../../proto/gen/fraudguard/v1/admin_pb.ts";

/** Most that a node may weigh. */
export const WEIGHT_MAX = 1_000_000;

/** The operation would do harm, or has no meaning for this node: nothing was changed. */
export class OperationRefused extends Error {
  override name = "OperationRefused";
}

/** Calls that change something keep it over a restart before they answer; they may throw OperationRefused. */
export interface Operations {
  /** Name of this node. */
  readonly node: string;
  status(): Promise<MessageInitShape<typeof GetStatusResponseSchema>>;
  drain(): MessageInitShape<typeof DrainResponseSchema>;
  undrain(): MessageInitShape<typeof UndrainResponseSchema>;
  /** 0..WEIGHT_MAX. */
  setWeight(weight: number): MessageInitShape<typeof SetWeightResponseSchema>;
  rebalance(): MessageInitShape<typeof RebalanceResponseSchema>;
}
