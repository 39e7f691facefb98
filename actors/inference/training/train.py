"""Trains the fraud model on a feature export and writes it as ONNX, with its explanation file and its card.

Standard output is one JSON object a line: progress, then {"event": "done", "card": ...}. Exit codes: 0 trained, 1 the
data or the model is refused (one line of JSON with "event": "error"), 2 wrong arguments. The same data, arguments and
package versions give the same bytes.
"""

import argparse
import hashlib
import json
import platform
import re
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import xgboost

from feature_export import ExportError, FeatureExport, read_export
from forest import explain_bytes, onnx_bytes, read_forest
from metrics import summary

PARITY_LIMIT = 1e-5
PARITY_ROWS = 4096
PREDICT_ROWS = 65536


def report(event: str, **values: object) -> None:
    print(json.dumps({"event": event, **values}), flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--features", type=Path, required=True, help="folder of the feature export")
    add("--out", type=Path, required=True, help="folder to write model.onnx, explain.bin and card.json to")
    add("--name", default="xgboost_fraud_v1_2", help="name of the model; ends in _vMAJOR_MINOR")
    add("--note", default="", help="a sentence for the card: where the payments came from")
    add("--trees", type=int, default=80)
    add("--depth", type=int, default=5)
    add("--rate", type=float, default=0.15, help="learning rate")
    add("--seed", type=int, default=1)
    add("--threads", type=int, default=2, help="fixed, since sums depend on it")
    add("--method", choices=("hist", "exact"), default="hist", help="how splits are found")
    add("--base-score", type=float, default=0.5, help="probability before the first tree")
    add("--max-step", type=float, default=2.0, help="limit of a leaf before the rate, 0 for none: frauds are rare")
    add("--min-weight", type=float, default=3.0, help="least hessian of a child")
    add("--l2", type=float, default=1.0, help="penalty on leaves")
    add("--columns", type=float, default=0.5, help="share of the features each tree may use")
    add("--rows", type=float, default=1.0, help="share of the rows each tree is grown on")
    add("--positive-weight", type=float, default=1.0, help="weight of a fraud; above 1 scores are no probabilities")
    add("--validate-fraction", type=float, default=0.2, help="newest share of the rows, kept for the metrics only")
    add("--from-us", type=float, default=-np.inf, help="first event time, microseconds, inclusive")
    add("--to-us", type=float, default=np.inf, help="last event time, microseconds, exclusive")
    args = parser.parse_args()
    if not re.fullmatch(r"[a-z0-9_]{1,48}_v\d{1,3}_\d{1,3}", args.name):
        parser.error("--name: lower-case letters, digits and _, ending in _vMAJOR_MINOR")
    if not (1 <= args.trees <= 2000 and 1 <= args.depth <= 12 and 1 <= args.threads <= 64):
        parser.error("--trees 1..2000, --depth 1..12, --threads 1..64")
    if not 0 <= args.validate_fraction < 1:
        parser.error("--validate-fraction: 0 <= fraction < 1")
    if not 0 < args.base_score < 1:
        parser.error("--base-score: between 0 and 1")
    return args


class Progress(xgboost.callback.TrainingCallback):
    def __init__(self, trees: int) -> None:
        super().__init__()
        self.trees = trees

    def after_iteration(self, model: xgboost.Booster, epoch: int, evals_log: dict) -> bool:
        if (epoch + 1) % 10 == 0 or epoch + 1 == self.trees:
            report("tree", done=epoch + 1, of=self.trees)
        return False


def parameters(args: argparse.Namespace) -> dict:
    """XGBoost's parameters. base_score is always given, since left out it is estimated differently by version."""
    return {
        "objective": "binary:logistic",
        "tree_method": args.method,
        "max_depth": args.depth,
        "learning_rate": args.rate,
        "base_score": args.base_score,
        "max_delta_step": args.max_step,
        "min_child_weight": args.min_weight,
        "reg_lambda": args.l2,
        "subsample": args.rows,
        "colsample_bytree": args.columns,
        "scale_pos_weight": args.positive_weight,
        "seed": args.seed,
        "nthread": args.threads,
    }


def train(args: argparse.Namespace, data: FeatureExport, rows: int, params: dict) -> xgboost.Booster:
    kind = xgboost.QuantileDMatrix if args.method == "hist" else xgboost.DMatrix
    weights = None if data.weights is None else data.weights[:rows]
    matrix = kind(data.features[:rows], data.labels[:rows], weight=weights, missing=np.nan, nthread=args.threads)
    return xgboost.train(params, matrix, num_boost_round=args.trees, callbacks=[Progress(args.trees)])


def predict(session: onnxruntime.InferenceSession, features: np.ndarray) -> np.ndarray:
    parts = [
        session.run(["score"], {"features": features[at : at + PREDICT_ROWS]})[0][:, 0]
        for at in range(0, len(features), PREDICT_ROWS)
    ]
    return np.concatenate(parts)


def parity(booster: xgboost.Booster, session: onnxruntime.InferenceSession, data: FeatureExport, seed: int) -> dict:
    """Largest difference between booster and graph on a sample, half of it with values knocked out at random."""
    random = np.random.default_rng(seed)
    take = random.choice(len(data.labels), size=min(PARITY_ROWS, len(data.labels)), replace=False)
    sample = data.features[take].copy()
    half = sample[: len(sample) // 2]
    half[random.random(half.shape) < 0.2] = np.nan
    expected = booster.inplace_predict(sample, missing=np.nan)
    difference = float(np.max(np.abs(expected - predict(session, sample))))
    if not difference <= PARITY_LIMIT:
        raise ExportError(f"the ONNX graph differs from the booster by {difference}: the conversion is wrong")
    return {"rows": len(sample), "max_difference": difference, "limit": PARITY_LIMIT}


def write(folder: Path, name: str, content: bytes) -> dict:
    (folder / name).write_bytes(content)
    return {"name": name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def card(args: argparse.Namespace, data: FeatureExport, cut: int, params: dict, scores: np.ndarray) -> dict:
    held_out = summary(data.labels[cut:], scores[cut:]) if cut < len(scores) else None
    return {
        "format": 1,
        "name": args.name,
        "version": ".".join(re.search(r"_v(\d+)_(\d+)$", args.name).groups()),
        "type": "xgboost",
        "note": args.note,
        "data": {
            "sha256": data.data_sha256,
            "source": data.source,
            "from_us": int(data.times[0]),
            "to_us": int(data.times[-1]),
            "rows": len(data.labels),
            "positives": int(data.labels.sum()),
        },
        "parameters": {**params, "trees": args.trees, "validate_fraction": args.validate_fraction},
        "metrics": {"train": summary(data.labels[:cut], scores[:cut]), "held_out": held_out},
        "made_with": {
            "python": platform.python_version(),
            "xgboost": xgboost.__version__,
            "onnxruntime": onnxruntime.__version__,
            "numpy": np.__version__,
        },
        "feature_names": data.names,
    }


def card_text(content: dict) -> str:
    """Indented JSON with exponents as JavaScript writes them: 1e-5, not 1e-05, which the formatter would change."""
    text = json.dumps(content, indent=2)
    return re.sub(r"^( *\"\w+\": [\d.]+e-)0+(\d+,?)$", r"\1\2", text, flags=re.MULTILINE) + "\n"


def main() -> None:
    args = arguments()
    data = read_export(args.features, args.from_us, args.to_us)
    cut = len(data.labels) - int(len(data.labels) * args.validate_fraction)
    if data.labels[:cut].min() == data.labels[:cut].max():
        raise ExportError("the rows to train on are all of one class: lower --validate-fraction or export more")
    report("read", rows=len(data.labels), positives=int(data.labels.sum()), training_rows=cut)
    params = parameters(args)
    booster = train(args, data, cut, params)
    forest = read_forest(booster)
    graph = onnx_bytes(forest, len(data.names), args.name, args.name.rsplit("_v", 1)[1].replace("_", "."))
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    checked = parity(booster, session, data, args.seed)
    content = card(args, data, cut, params, predict(session, data.features))
    content["parity"] = checked
    args.out.mkdir(parents=True, exist_ok=True)
    content["files"] = {
        "model": write(args.out, "model.onnx", graph),
        "explain": write(args.out, "explain.bin", explain_bytes(forest, len(data.names))),
    }
    (args.out / "card.json").write_text(card_text(content))
    report("done", card={key: value for key, value in content.items() if key != "feature_names"})


if __name__ == "__main__":
    try:
        main()
    except ExportError as error:
        report("error", message=str(error))
        sys.exit(1)
