"""One method minus another on the same samples: what tuning did, with a paired interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from harness.instruction_scores import likelihood, share
from harness.intervals import CONFIDENCE, paired
from harness.record import DamagedRecord, read_samples
from reports.groups import Row

#: the counts of a sample from which a metric is pooled; None where the sample has no part in it
Parts = Callable[[Mapping], tuple[float, float] | None]


def _level(line: Mapping, name: str) -> tuple[float, float] | None:
    """(constraints obeyed, constraints) of a sample, for `inst_level_strict_acc` and `inst_level_loose_acc`."""
    found = line.get("constraints")
    if not isinstance(found, list) or not found:
        return None
    way = "strict" if "strict" in name else "loose"
    return float(sum(one.get(way) is True for one in found if isinstance(one, Mapping))), float(len(found))


def _parts(metric: str) -> tuple[Parts, Callable[[np.ndarray], np.ndarray]]:
    if metric.startswith("inst_level_"):
        return (lambda line: _level(line, metric)), share
    if metric == "reference_likelihood":

        def nats(line: Mapping) -> tuple[float, float] | None:
            total, tokens = line.get("reference_loglikelihood"), line.get("reference_tokens")
            return (
                (-float(total), float(tokens)) if isinstance(total, (int, float)) and isinstance(tokens, int) and tokens else None
            )

        return nats, likelihood

    def mean(line: Mapping) -> tuple[float, float] | None:
        scores = line.get("scores")
        value = scores.get(metric) if isinstance(scores, Mapping) else None
        return (float(value), 1.0) if isinstance(value, (int, float)) else None

    return mean, share


@dataclass(frozen=True)
class Difference:
    """`value` is the first row's score minus the second's; `low` and `high` its 95 % interval, None where there is none. Where
    every sample is right or wrong, `p` is the exact McNemar test's: with few samples that changed, a bootstrap is too sure."""

    value: float
    low: float | None
    high: float | None
    n: int
    p: float | None = None

    @property
    def tells(self) -> bool:
        """Whether it is more than the luck of the samples: by the exact test where there is one, else by the interval."""
        if self.p is not None:
            return self.p < 1 - CONFIDENCE
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    def said(self) -> str:
        """``+0.120 (+0.035 to +0.205)``, with ``p = 0.021`` where there is a test."""
        tested = f", p = {self.p:.2g}" if self.p is not None else ""
        if self.low is None or self.high is None:
            return f"{self.value:+.3f}{tested}"
        return f"{self.value:+.3f} ({self.low:+.3f} to {self.high:+.3f}{tested})"


def _counts(row: Row, parts: Parts) -> dict[str, np.ndarray]:
    """A row's counts by sample, its seeds added up. Empty where samples cannot be read."""
    found: dict[str, list[tuple[float, float]]] = {}
    for entry in row.evaluated:
        assert entry.folder is not None
        try:
            lines = read_samples(entry.folder)
        except (DamagedRecord, OSError, UnicodeDecodeError):
            return {}
        for line in lines:
            pair = parts(line) if isinstance(line, Mapping) else None
            if pair is not None:
                found.setdefault(str(line.get("doc_id")), []).append(pair)
    return {doc: np.sum(pairs, axis=0) for doc, pairs in found.items() if len(pairs) == len(row.evaluated)}


def difference(one: Row, other: Row, metric: str) -> Difference | None:
    """`one` minus `other` in a metric that is a mean, or a pooled ratio, over samples; None where they share no sample. Where a
    row has several seeds, its score is pooled over them, and the interval is over samples only: it says nothing of other
    seeds."""
    parts, ratio = _parts(metric)
    first, second = _counts(one, parts), _counts(other, parts)
    shared = sorted(first.keys() & second.keys())
    if not shared:
        return None
    ours, theirs = (np.stack([counts[doc] for doc in shared]) for counts in (first, second))
    for row, counts in ((one, ours), (other, theirs)):
        score = row.score(metric)
        if score is None or len(score.seeds) > 1 or len(counts) != score.n:
            continue  # nothing that it must agree with
        if abs(float(ratio(counts.sum(axis=0))) - score.value) > 1e-6:
            return None  # the metric is pooled in some other way than from these counts
    value, low, high = paired(ours, theirs, ratio)
    return Difference(value, low, high, len(shared), _mcnemar(ours, theirs))


def _mcnemar(ours: np.ndarray, theirs: np.ndarray) -> float | None:
    """The exact McNemar test's p (two-sided); None where samples are not just right or wrong, once each."""
    both = np.concatenate([ours, theirs])
    if not (np.all(both[:, 1] == 1) and np.all(np.isin(both[:, 0], (0, 1)))):
        return None
    gained, lost = int(((ours - theirs)[:, 0] > 0).sum()), int(((ours - theirs)[:, 0] < 0).sum())
    return float(stats.binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0
