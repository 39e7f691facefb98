"""The trees of a trained booster, renumbered, with what each node is expected to answer.

Read from XGBoost's JSON model, where thresholds and leaves are float32 written so that they read back exactly. The two
files of a model are made from it: the ONNX graph that is run, and the explanation file (explanation.ts reads it).
"""

import json
import struct
from dataclasses import dataclass

import numpy as np
import onnx
import xgboost
from onnx import TensorProto, helper

EXPLAIN_MAGIC = b"FGEX"
EXPLAIN_VERSION = 1
OPSET, ML_OPSET = 17, 3
IR_VERSION = 8


@dataclass
class Forest:
    """Nodes of all trees in one numbering, parents before children; leaf: feature == -1."""

    base_margin: float
    roots: np.ndarray
    tree: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    default_left: np.ndarray
    expectation: np.ndarray


def _walk(tree: dict, nodes: list[tuple], number: int) -> None:
    """Appends one tree in pre-order: (tree, feature, threshold, left, right, default left, expectation)."""
    left, right = tree["left_children"], tree["right_children"]
    value, cover = tree["split_conditions"], tree["sum_hessian"]
    expected = {}

    def place(source: int) -> int:
        at = len(nodes)
        nodes.append(None)
        if left[source] == -1:
            expected[source] = float(np.float32(value[source]))
            nodes[at] = (number, -1, 0.0, -1, -1, 0, expected[source])
            return at
        low, high = place(left[source]), place(right[source])
        weight = cover[left[source]] + cover[right[source]]
        share = cover[left[source]] / weight if weight > 0 else 0.5
        expected[source] = share * expected[left[source]] + (1 - share) * expected[right[source]]
        feature, missing = tree["split_indices"][source], tree["default_left"][source]
        nodes[at] = (number, feature, value[source], low, high, missing, expected[source])
        return at

    place(0)


def read_forest(booster: xgboost.Booster) -> Forest:
    """Reads a binary:logistic booster. A node expects its children's answers, weighed by cover (hessians)."""
    learner = json.loads(booster.save_raw(raw_format="json"))["learner"]
    base_score = float(learner["learner_model_param"]["base_score"].strip("[]"))
    trees = learner["gradient_booster"]["model"]["trees"]
    nodes, roots = [], []
    for number, tree in enumerate(trees):
        if any(tree["split_type"]):
            raise ValueError("categorical splits are not supported")
        roots.append(len(nodes))
        _walk(tree, nodes, number)
    tree, feature, threshold, left, right, default_left, expectation = zip(*nodes)
    return Forest(
        base_margin=float(np.float32(np.log(base_score / (1 - base_score)))),
        roots=np.array(roots, "<i4"),
        tree=np.array(tree, "<i4"),
        feature=np.array(feature, "<i4"),
        threshold=np.array(threshold, "<f4"),
        left=np.array(left, "<i4"),
        right=np.array(right, "<i4"),
        default_left=np.array(default_left, "u1"),
        expectation=np.array(expectation, "<f8"),
    )


def explain_bytes(forest: Forest, features: int) -> bytes:
    """The explanation file: a 32-byte header, then one array after the other, 8-byte values first."""
    header = EXPLAIN_MAGIC + struct.pack(
        "<IIIIId", EXPLAIN_VERSION, features, len(forest.roots), len(forest.feature), 0, forest.base_margin
    )
    arrays = (
        forest.expectation, forest.threshold, forest.feature, forest.left, forest.right, forest.roots,
        forest.default_left,
    )
    return header + b"".join(array.tobytes() for array in arrays)


def onnx_bytes(forest: Forest, features: int, name: str, version: str) -> bytes:
    """
    The ONNX graph: `features` float32 (rows, features) -> `score` float32 (rows, 1), a probability. ONNX Runtime's
    regressor ignores the LOGISTIC post transform for one target, so that a Sigmoid node follows the trees.
    """
    leaf = forest.feature < 0
    local = np.arange(len(forest.feature)) - forest.roots[forest.tree]
    start = forest.roots[forest.tree]
    regressor = helper.make_node(
        "TreeEnsembleRegressor",
        ["features"],
        ["margin"],
        domain="ai.onnx.ml",
        n_targets=1,
        aggregate_function="SUM",
        post_transform="NONE",
        base_values=[forest.base_margin],
        nodes_treeids=forest.tree.tolist(),
        nodes_nodeids=local.tolist(),
        nodes_featureids=np.where(leaf, 0, forest.feature).tolist(),
        nodes_modes=["LEAF" if is_leaf else "BRANCH_LT" for is_leaf in leaf],
        nodes_values=forest.threshold.tolist(),
        nodes_hitrates=[1.0] * len(leaf),
        nodes_truenodeids=np.where(leaf, 0, forest.left - start).tolist(),
        nodes_falsenodeids=np.where(leaf, 0, forest.right - start).tolist(),
        nodes_missing_value_tracks_true=forest.default_left.tolist(),
        target_treeids=forest.tree[leaf].tolist(),
        target_nodeids=local[leaf].tolist(),
        target_ids=[0] * int(leaf.sum()),
        target_weights=forest.expectation[leaf].astype("<f4").tolist(),
    )
    graph = helper.make_graph(
        [regressor, helper.make_node("Sigmoid", ["margin"], ["score"])],
        name,
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", features])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["rows", 1])],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="fraudguard")
    helper.set_model_props(model, {"name": name, "version": version})
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)
