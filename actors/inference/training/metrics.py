"""Ranking metrics of scores against labels: ROC AUC and average precision, ties handled, in float64."""

import numpy as np


def _by_score(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True and false positives at each distinct score, highest first."""
    order = np.argsort(-scores, kind="stable")
    sorted_scores = scores[order]
    ends = np.append(np.flatnonzero(sorted_scores[1:] != sorted_scores[:-1]), len(order) - 1)
    true_positives = np.cumsum(labels[order], dtype=np.float64)[ends]
    return true_positives, ends + 1 - true_positives


def roc_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve by trapezoids; NaN where one of the classes is absent."""
    true_positives, false_positives = _by_score(labels, scores)
    if true_positives[-1] == 0 or false_positives[-1] == 0:
        return float("nan")
    recall = np.concatenate(([0.0], true_positives / true_positives[-1]))
    fall_out = np.concatenate(([0.0], false_positives / false_positives[-1]))
    return float(np.sum((fall_out[1:] - fall_out[:-1]) * (recall[1:] + recall[:-1]) / 2))


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """Sum over distinct scores of (recall gained) x (precision there); NaN without positives."""
    true_positives, false_positives = _by_score(labels, scores)
    if true_positives[-1] == 0:
        return float("nan")
    precision = true_positives / (true_positives + false_positives)
    gained = np.diff(np.concatenate(([0.0], true_positives))) / true_positives[-1]
    return float(np.sum(gained * precision))


def summary(labels: np.ndarray, scores: np.ndarray) -> dict:
    """What a card says of a set of rows; null where a metric has no value."""
    auc, precision = roc_auc(labels, scores), average_precision(labels, scores)
    return {
        "rows": int(len(labels)),
        "positives": int(labels.sum()),
        "roc_auc": None if np.isnan(auc) else round(auc, 6),
        "average_precision": None if np.isnan(precision) else round(precision, 6),
    }
