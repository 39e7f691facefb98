"""Tests of the training programs' own parts; run by training.test.ts with the pinned environment."""

import unittest

import numpy as np
import xgboost

from forest import read_forest
from metrics import average_precision, roc_auc


def slow_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    pairs = [(p, n) for p in scores[labels == 1] for n in scores[labels == 0]]
    return sum(1.0 if p > n else 0.5 if p == n else 0.0 for p, n in pairs) / len(pairs)


def slow_average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    total, recall = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        chosen = labels[scores >= threshold]
        now = chosen.sum() / labels.sum()
        total, recall = total + (now - recall) * chosen.mean(), now
    return total


class Metrics(unittest.TestCase):
    def test_equal_their_definitions_with_ties(self) -> None:
        random = np.random.default_rng(7)
        for _ in range(50):
            labels = random.integers(0, 2, 60)
            labels[0], labels[1] = 0, 1
            scores = random.integers(0, 8, 60) / 8
            self.assertAlmostEqual(roc_auc(labels, scores), slow_auc(labels, scores), places=12)
            self.assertAlmostEqual(average_precision(labels, scores), slow_average_precision(labels, scores), places=12)

    def test_have_no_value_without_both_classes(self) -> None:
        self.assertTrue(np.isnan(roc_auc(np.ones(3, int), np.arange(3))))
        self.assertTrue(np.isnan(average_precision(np.zeros(3, int), np.arange(3))))


class Forests(unittest.TestCase):
    def test_walk_to_the_boosters_margin(self) -> None:
        random = np.random.default_rng(3)
        features = random.normal(size=(3000, 6)).astype("f4")
        features[random.random(features.shape) < 0.2] = np.nan
        labels = (np.nan_to_num(features[:, 0]) + np.nan_to_num(features[:, 1]) > 1).astype("u1")
        params = {"objective": "binary:logistic", "base_score": 0.2, "max_depth": 4, "nthread": 1, "gamma": 1}
        for method in ("hist", "exact"):
            matrix = xgboost.DMatrix(features, labels, missing=np.nan)
            booster = xgboost.train({**params, "tree_method": method}, matrix, 10)
            forest = read_forest(booster)
            expected = booster.predict(matrix, output_margin=True)
            for row in range(0, 3000, 50):
                margin = forest.base_margin
                for node in forest.roots:
                    while forest.feature[node] >= 0:
                        value = features[row, forest.feature[node]]
                        left = forest.default_left[node] if np.isnan(value) else value < forest.threshold[node]
                        node = forest.left[node] if left else forest.right[node]
                    margin += forest.expectation[node]
                self.assertAlmostEqual(margin, float(expected[row]), places=5)


if __name__ == "__main__":
    unittest.main()
