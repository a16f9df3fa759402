"""95 % intervals: Wilson for proportions, bootstrap over samples for the rest, and an honest bound where a bootstrap has none.

A bootstrap of a perfect (or a zero) score is a point: every resample repeats it. There the interval ends where Wilson's
would: with no error among n samples, the true error rate may be as high as z^2 / (n + z^2) (Wilson 1927). For scores made
from a confusion matrix, that share of every true class is moved off (or onto) the diagonal and the score taken again,
which errs on the wide side.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import stats

from harness.record import Metric, finite

CONFIDENCE = 0.95
RESAMPLES = 2000
#: fewer for statistics that have to be recomputed one resample at a time
_SLOW_RESAMPLES = 500
_SEED = 20240229
_Z = float(stats.norm.ppf(0.5 + CONFIDENCE / 2))

#: (true labels, predicted labels, axis of samples) -> score; both integer arrays of one shape
ConfusionScore = Callable[..., Any]


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Wilson score interval of a proportion (scipy's)."""
    interval = stats.binomtest(successes, n).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def proportion(values: Sequence[float]) -> Metric:
    """The mean of zeros and ones, with Wilson's interval."""
    n = len(values)
    low, high = wilson(round(sum(values)), n)
    return Metric(value=sum(values) / n, low=low, high=high, n=n, interval="wilson")


def bootstrap(
    value: float, arrays: tuple[np.ndarray, ...], statistic: Callable[..., Any], *, vectorized: bool
) -> tuple[float, float] | None:
    """BCa bootstrap over samples (Efron 1987, scipy's); the percentile interval where BCa is undefined; None where both are
    a point or undefined."""
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            result = stats.bootstrap(
                arrays,
                statistic,
                paired=True,
                vectorized=vectorized,
                n_resamples=RESAMPLES if vectorized else _SLOW_RESAMPLES,
                batch=250 if vectorized else None,
                confidence_level=CONFIDENCE,
                method=method,
                rng=np.random.default_rng(_SEED),
            ).confidence_interval
        low, high = float(result.low), float(result.high)
        if math.isfinite(low) and math.isfinite(high) and low < high:
            return min(low, value), max(high, value)
    return None


def from_labels(gold: np.ndarray, predicted: np.ndarray, classes: int, score: ConfusionScore) -> Metric:
    """A score of true and predicted class numbers, with its interval. Arrays of shape (samples,)."""
    value = float(score(gold, predicted))
    interval = bootstrap(value, (gold, predicted), score, vectorized=True) if len(gold) > 1 else None
    if interval is not None:
        return Metric(value=finite(value), low=interval[0], high=interval[1], n=len(gold), interval="bootstrap")
    low, high = _bound(gold, predicted, classes, score, value)
    if low == high:  # no sample bears on it (the F1 of a class that never occurs): nothing can be said
        return Metric(value=finite(value), n=len(gold))
    return Metric(value=finite(value), low=low, high=high, n=len(gold), interval="bound")


def _bound(gold: np.ndarray, predicted: np.ndarray, classes: int, score: ConfusionScore, value: float) -> tuple[float, float]:
    """The score if every class did worse, or better, by what Wilson's interval allows for none seen among its samples."""
    scale = 1000  # samples become weights: each is repeated, then a share of them changed
    worse_gold, worse_predicted, better_predicted = [], [], []
    for label in range(classes):
        own = predicted[gold == label]
        if own.size == 0:
            continue
        moved = _Z**2 / (own.size + _Z**2)
        count = max(1, round(moved * scale))
        repeated = own[np.arange(scale) * own.size // scale]
        worse, better = repeated.copy(), repeated.copy()
        spread = np.linspace(0, scale - 1, count).astype(int)
        worse[spread] = (label + 1 + np.arange(count) % max(1, classes - 1)) % classes
        better[spread] = label
        weight = max(1, round(own.size * 50 / len(gold)))  # classes keep their shares
        worse_gold.append(np.full(scale * weight, label))
        worse_predicted.append(np.tile(worse, weight))
        better_predicted.append(np.tile(better, weight))
    truth = np.concatenate(worse_gold)
    low = float(score(truth, np.concatenate(worse_predicted)))
    high = float(score(truth, np.concatenate(better_predicted)))
    return min(low, value), max(high, value)


def from_items(items: Sequence[Any], aggregate: Callable[[list], float], value: float) -> Metric:
    """Any other metric: the aggregate of per-sample items. Bounded scores that are perfect (or zero) on every sample get
    Wilson's bound on their n samples; a statistic that cannot vary otherwise gets no interval."""
    n = len(items)
    if not math.isfinite(value):
        return Metric(value=None, n=n)
    numeric = all(isinstance(item, (int, float)) for item in items)
    if numeric and all(item in (0, 1) for item in items) and abs(value - sum(items) / n) < 1e-9:
        return proportion([float(item) for item in items])

    def statistic(index: np.ndarray) -> float:
        try:
            return float(aggregate([items[i] for i in index.astype(int)]))
        except (ValueError, ArithmeticError):  # a resample on which the score is not defined
            return math.nan

    interval = bootstrap(value, (np.arange(n),), statistic, vectorized=False) if n > 1 else None
    if interval is not None:
        return Metric(value=value, low=interval[0], high=interval[1], n=n, interval="bootstrap")
    if value in (0.0, 1.0):
        low, high = wilson(round(value * n), n)
        return Metric(value=value, low=low, high=high, n=n, interval="bound")
    return Metric(value=value, n=n)


def from_counts(counts: np.ndarray, ratio: Callable[[np.ndarray], np.ndarray]) -> Metric:
    """A pooled ratio of counts, shape (samples, counts): `ratio` of their sums, with a bootstrap over samples. Where that is
    a point (all right, or all wrong), Wilson's bound on the samples that have anything to count."""
    n = len(counts)
    value = float(ratio(counts.sum(axis=0)))

    def statistic(index: np.ndarray, axis: int = -1) -> np.ndarray:
        return ratio(counts[index.astype(int)].sum(axis=axis - 1 if axis < 0 else axis))

    bearing = int((counts.sum(axis=1) > 0).sum())
    interval = bootstrap(value, (np.arange(n),), statistic, vectorized=True) if n > 1 and bearing else None
    if interval is not None:
        return Metric(value=finite(value), low=interval[0], high=interval[1], n=n, interval="bootstrap")
    if bearing and value in (0.0, 1.0):
        low, high = wilson(round(value * bearing), bearing)
        return Metric(value=finite(value), low=low, high=high, n=n, interval="bound")
    return Metric(value=finite(value), n=n)


def paired(
    first: np.ndarray, second: np.ndarray, ratio: Callable[[np.ndarray], np.ndarray]
) -> tuple[float, float | None, float | None]:
    """The difference `ratio` of the first counts' sums minus `ratio` of the second's, with its bootstrap interval over samples.

    Both have the shape (samples, counts) and tell of the same samples in the same order: a resample takes both sides of a
    sample, so that what is easy or hard for both cancels out. The ends are None where no resample differs from another."""
    both = np.stack([first, second], axis=1)
    n = len(both)

    def difference(index: np.ndarray, axis: int = -1) -> np.ndarray:
        sums = both[index.astype(int)].sum(axis=axis - 2 if axis < 0 else axis)
        return ratio(sums[..., 0, :]) - ratio(sums[..., 1, :])

    value = float(difference(np.arange(n)))
    interval = bootstrap(value, (np.arange(n),), difference, vectorized=True) if n > 1 else None
    return (value, *interval) if interval is not None else (value, None, None)
