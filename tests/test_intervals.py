"""Every interval against somebody else's arithmetic: a formula, scipy, or a bootstrap written out here."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from harness.classification import class_f1, macro_f1, matthews
from harness.intervals import from_items, from_labels, proportion, wilson
from harness.record import Metric

Z = 1.959963984540054  # the normal distribution's 97.5 % point


def accuracy(gold, predicted, axis=-1):
    return np.mean(gold == predicted, axis=axis)


def macro(classes):
    return lambda gold, predicted, axis=-1: macro_f1(gold, predicted, classes, axis)


def correlation(classes):
    return lambda gold, predicted, axis=-1: matthews(gold, predicted, classes, axis)


def f1_of(label):
    return lambda gold, predicted, axis=-1: class_f1(gold, predicted, label, axis)


def labels(seed: int, n: int, classes: int, right: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, classes, n)
    return gold, np.where(rng.random(n) < right, gold, rng.integers(-1, classes, n))


def assert_spans(metric: Metric) -> None:
    assert None not in (metric.low, metric.value, metric.high), metric
    assert metric.low <= metric.value <= metric.high
    assert metric.low < metric.high


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 20), (20, 20), (1, 7), (37, 50), (299, 300), (5000, 10_000)])
def test_wilson_is_the_closed_formula(k, n):
    p = k / n
    centre = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    assert wilson(k, n) == pytest.approx((centre - half, centre + half), abs=1e-9)


@pytest.mark.parametrize(("k", "n"), [(0, 9), (3, 9), (9, 9), (123, 300)])
def test_a_proportion_has_scipys_wilson_interval(k, n):
    metric = proportion([1.0] * k + [0.0] * (n - k))
    theirs = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert (metric.value, metric.n, metric.interval) == (k / n, n, "wilson")
    assert (metric.low, metric.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert_spans(metric)


def percentile_interval(gold: np.ndarray, predicted: np.ndarray, classes: int, resamples: int = 4000) -> tuple[float, float]:
    """The plain percentile bootstrap of macro-F1 from resampled confusion matrices."""
    rng = np.random.default_rng(99)
    values = []
    for _ in range(resamples):
        rows = rng.integers(0, len(gold), len(gold))
        table = np.bincount(gold[rows] * classes + predicted[rows], minlength=classes**2).reshape(classes, classes)
        margins = table.sum(axis=0) + table.sum(axis=1)
        values.append(np.mean(2 * np.diag(table) / np.maximum(margins, 1)))
    return tuple(np.percentile(values, [2.5, 97.5]))


@pytest.mark.parametrize(("n", "classes", "right"), [(300, 3, 0.8), (300, 3, 0.2), (500, 5, 0.6), (120, 2, 0.7)])
def test_the_interval_of_macro_f1_is_that_of_a_plain_bootstrap(n, classes, right):
    gold, predicted = labels(1, n, classes, right)
    predicted = np.abs(predicted)
    metric = from_labels(gold, predicted, classes, macro(classes))
    low, high = percentile_interval(gold, predicted, classes)
    assert metric.value == pytest.approx(f1_score(gold, predicted, average="macro"))
    assert metric.interval == "bootstrap"
    tolerance = 0.12 * (high - low)
    assert metric.low == pytest.approx(low, abs=tolerance)
    assert metric.high == pytest.approx(high, abs=tolerance)
    assert_spans(metric)


@pytest.mark.parametrize(("n", "right"), [(100, 0.5), (300, 0.8), (1000, 0.3)])
def test_the_bootstrap_of_accuracy_is_as_wide_as_wilson(n, right):
    gold, predicted = labels(2, n, 3, right)
    metric = from_labels(gold, predicted, 3, accuracy)
    low, high = wilson(int(np.sum(gold == predicted)), n)
    assert metric.high - metric.low == pytest.approx(high - low, rel=0.1)
    assert metric.low == pytest.approx(low, abs=0.1 * (high - low))


@pytest.mark.parametrize("n", [50, 400])
def test_the_interval_of_a_mean_spans_two_standard_errors_either_side(n):
    items = np.random.default_rng(3).normal(5.0, 2.0, n)
    metric = from_items(items.tolist(), np.mean, float(np.mean(items)))
    error = np.std(items, ddof=1) / math.sqrt(n)
    assert metric.interval == "bootstrap"
    assert metric.low == pytest.approx(items.mean() - Z * error, abs=0.5 * error)
    assert metric.high == pytest.approx(items.mean() + Z * error, abs=0.5 * error)


def test_quadrupling_the_samples_halves_the_interval():
    gold, predicted = labels(4, 200, 3, 0.7)
    few = from_labels(gold, predicted, 3, macro(3))
    many = from_labels(np.tile(gold, 4), np.tile(predicted, 4), 3, macro(3))
    assert many.value == pytest.approx(few.value)
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("n", [20, 300])
@pytest.mark.parametrize("score", [macro(2), correlation(2), f1_of(0), accuracy])
def test_a_perfect_score_is_not_certain(n, score):
    gold = np.arange(n) % 2
    metric = from_labels(gold, gold, 2, score)
    assert (metric.value, metric.high, metric.interval) == (1.0, 1.0, "bound")
    assert_spans(metric)
    assert metric.low <= n / (n + Z**2) + 1e-3, "no narrower than Wilson's interval of accuracy"


@pytest.mark.parametrize(
    ("gold", "predicted", "score"),
    [
        (np.arange(40) % 2, 1 - np.arange(40) % 2, macro(2)),
        (np.arange(40) % 2, np.full(40, -1), macro(2)),
        (np.arange(40) % 4, np.full(40, -1), accuracy),
        (np.arange(40) % 2, np.zeros(40, int), f1_of(1)),
    ],
)
def test_a_zero_score_is_not_certain(gold, predicted, score):
    metric = from_labels(gold, predicted, int(gold.max()) + 1, score)
    assert (metric.value, metric.low) == (0.0, 0.0)
    assert_spans(metric)


def test_the_bound_shrinks_with_the_samples():
    highs = [from_labels(np.arange(n) % 2, np.full(n, -1), 2, macro(2)).high for n in (20, 200, 2000)]
    assert 1 > highs[0] > 3 * highs[1] > 9 * highs[2] > 0


@pytest.mark.parametrize("answer", [0, 2, -1])
def test_a_constant_predictor_has_an_interval(answer):
    gold = np.random.default_rng(5).integers(0, 3, 150)
    for score in (macro(3), correlation(3), accuracy, f1_of(0)):
        assert_spans(from_labels(gold, np.full(150, answer), 3, score))


def test_the_score_of_a_class_that_no_sample_has_is_not_claimed_to_be_certain():
    gold, predicted = np.arange(40) % 2, np.arange(40) // 3 % 2
    metric = from_labels(gold, predicted, 3, f1_of(2))
    assert metric.low is None or metric.low < metric.high


def test_one_sample_is_enough():
    for predicted in (0, 1, -1):
        metric = from_labels(np.array([0]), np.array([predicted]), 2, macro(2))
        assert metric.n == 1
        assert metric.low is None or metric.low <= metric.value <= metric.high


def test_the_value_is_always_within_its_interval():
    rng = np.random.default_rng(6)
    for seed in range(50):
        n, classes = int(rng.integers(2, 40)), int(rng.integers(2, 5))
        gold, predicted = labels(seed, n, classes, float(rng.choice([0.0, 0.3, 0.9, 1.0])))
        for score in (macro(classes), correlation(classes), f1_of(0)):
            metric = from_labels(gold, predicted, classes, score)
            assert metric.n == n
            assert metric.value == pytest.approx(float(score(gold, predicted)))
            if metric.interval:  # none for the F1 of a class that never occurs
                assert metric.low <= metric.value <= metric.high, (seed, metric)


def test_the_same_samples_give_the_same_interval():
    gold, predicted = labels(7, 90, 3, 0.7)
    assert from_labels(gold, predicted, 3, macro(3)) == from_labels(gold, predicted, 3, macro(3))


@pytest.mark.parametrize("items", [[1, 0, 1, 1], [1.0, 0.0, 0.0], [True, False], [1.0] * 30, [0] * 30, [1]])
def test_items_of_zeros_and_ones_have_wilsons_interval(items):
    metric = from_items(items, lambda xs: sum(xs) / len(xs), sum(items) / len(items))
    low, high = wilson(sum(map(int, items)), len(items))
    assert (metric.interval, metric.n) == ("wilson", len(items))
    assert (metric.low, metric.high) == (low, high)


def test_zeros_and_ones_under_another_aggregate_are_bootstrapped():
    items = [0, 1, 1, 1, 0, 1] * 10
    metric = from_items(items, lambda xs: 10 * sum(xs), 400)
    assert (metric.value, metric.interval) == (400, "bootstrap")
    error = 10 * math.sqrt(60 * (2 / 3) * (1 / 3))
    assert metric.high - metric.low == pytest.approx(2 * Z * error, rel=0.15)


def test_pairs_that_are_all_right_have_a_bound():
    metric = from_items([(1, 1), (0, 0)] * 15, lambda xs: sum(a == b for a, b in xs) / len(xs), 1.0)
    assert (metric.value, metric.interval) == (1.0, "bound")
    assert (metric.low, metric.high) == wilson(30, 30)


def test_what_cannot_vary_or_is_undefined_has_no_interval():
    assert from_items([7.5] * 20, np.mean, 7.5).low is None
    assert from_items([0.4], np.mean, 0.4) == Metric(value=0.4, n=1)
    assert from_items([1.0, 2.0], np.mean, math.nan) == Metric(value=None, n=2)
