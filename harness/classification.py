"""Scores of classification, vectorised over resamples: accuracy, F1 by class, macro-F1, Matthews' correlation.

Arrays hold class numbers; the last axis is samples. An unparseable or unknown answer is class -1: wrong for every class.
Agreement with scikit-learn is tested.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def class_f1(gold: np.ndarray, predicted: np.ndarray, label: int, axis: int = -1) -> np.ndarray:
    """2 TP / (2 TP + FP + FN); 0 where the class is neither true nor predicted (scikit-learn's zero_division=0)."""
    is_gold, is_predicted = gold == label, predicted == label
    hits = np.sum(is_gold & is_predicted, axis=axis)
    total = np.sum(is_gold, axis=axis) + np.sum(is_predicted, axis=axis)
    return np.where(total > 0, 2 * hits / np.maximum(total, 1), 0.0)


def macro_f1(gold: np.ndarray, predicted: np.ndarray, classes: int, axis: int = -1) -> np.ndarray:
    """Mean of the classes' F1, every class of the task counting alike, absent ones as 0."""
    return np.mean([class_f1(gold, predicted, label, axis) for label in range(classes)], axis=0)


def matthews(gold: np.ndarray, predicted: np.ndarray, classes: int, axis: int = -1) -> np.ndarray:
    """Multi-class Matthews correlation (Gorodkin 2004); 0 where either side never varies."""
    n = gold.shape[axis]
    correct = np.sum(gold == predicted, axis=axis).astype(float)
    true_counts = [np.sum(gold == label, axis=axis).astype(float) for label in range(classes)]
    guess_counts = [np.sum(predicted == label, axis=axis).astype(float) for label in range(-1, classes)]
    cross = sum(t * p for t, p in zip(true_counts, guess_counts[1:], strict=True))
    true_spread = n * n - sum(t * t for t in true_counts)
    guess_spread = n * n - sum(p * p for p in guess_counts)
    product = np.maximum(true_spread * guess_spread, 0.0)
    return np.where(product > 0, (correct * n - cross) / np.sqrt(np.where(product > 0, product, 1.0)), 0.0)


def numbers(labels: Sequence[str | None], choices: Sequence[str]) -> np.ndarray:
    """Labels as class numbers; -1 for anything that is no choice."""
    index = {choice: number for number, choice in enumerate(choices)}
    return np.array([index.get(label, -1) if label is not None else -1 for label in labels], dtype=int)


def classification_results(doc: dict, results: Sequence, choices: Sequence[str], gold: int | str) -> dict:
    """What a classification task's ``process_results`` gives lm-eval for one document: `results` are its
    (log-likelihood, is-greedy) pairs. The pairs (gold, predicted) are aggregated by `macro_f1_of_pairs` and `mcc_of_pairs`."""
    predicted = int(np.argmax([loglikelihood for loglikelihood, _ in results]))
    truth = gold if isinstance(gold, int) else list(choices).index(gold)
    pair = (truth, predicted, len(choices))
    return {"acc": float(truth == predicted), "macro_f1": pair, "mcc": pair}


def _columns(pairs: Sequence[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray, int]:
    gold, predicted, classes = zip(*pairs, strict=True)
    return np.array(gold), np.array(predicted), int(classes[0])


def macro_f1_of_pairs(pairs: Sequence[tuple[int, int, int]]) -> float:
    """lm-eval aggregation: macro-F1 of (gold, predicted, number of classes) triples."""
    gold, predicted, classes = _columns(pairs)
    return float(macro_f1(gold, predicted, classes))


def mcc_of_pairs(pairs: Sequence[tuple[int, int, int]]) -> float:
    """lm-eval aggregation: Matthews correlation of (gold, predicted, number of classes) triples."""
    gold, predicted, classes = _columns(pairs)
    return float(matthews(gold, predicted, classes))
