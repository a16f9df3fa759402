"""Scores of entities: seqeval in strict mode over IOB2 tags, samples pooled, undefined ratios 0; intervals over samples.

Per sample, `entity_results` gives tags of the reference and of the answer. A mention that is not in the text, and an answer
outside the grammar, have no words to be tagged; each gets a position of its own behind the text, ``B-`` against ``O``, and
so costs precision. A metric's value is seqeval's own; its interval comes from counts (right, predicted and reference
entities by sample and type), which must give the same value.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from harness.entities import INVALID, entities_of, read_answer, tags
from harness.intervals import from_counts
from harness.record import Metric

#: how seqeval is asked (the report says so in words)
SEQEVAL = {"mode": "strict", "scheme": "IOB2", "average": "micro", "zero_division": 0}
#: (tags of the reference, tags of the answer) of one sample
Pair = tuple[Sequence[str], Sequence[str]]


def entity_results(doc: Mapping[str, Any], results: Sequence[str], types: Sequence[str], scored: Sequence[str] = ()) -> dict:
    """What an entity task's ``process_results`` gives lm-eval for one document (`text`, `entities`) and its answer.

    `types` are those that an answer may name, `scored` those that count (default: all). Keys: `entity_f1`,
    `entity_precision`, `entity_recall` (a pair of tag sequences each, pooled by the functions of those names),
    `exact_match` and `invalid_rate` (0 or 1), `hallucination_rate` (mentions outside the text, mentions).
    """
    scored = scored or types
    answer = read_answer(doc["text"], results[0], types)
    gold = [one for one in entities_of(doc) if one.type in scored]
    found = [one for one in answer.entities if one.type in scored]
    outside = [name for name, _ in answer.outside if name in scored]
    extra = outside + ([] if answer.valid else [INVALID])
    pair = (tags(doc["text"], gold) + ["O"] * len(extra), tags(doc["text"], found) + [f"B-{name}" for name in extra])
    return {
        "entity_f1": pair,
        "entity_precision": pair,
        "entity_recall": pair,
        "exact_match": float(gold == found and not extra),
        "invalid_rate": float(not answer.valid),
        "hallucination_rate": (len(outside), len(outside) + len(found)),
    }


def _seqeval(name: str, pairs: Sequence[Pair]) -> float:
    import seqeval.metrics
    import seqeval.scheme

    gold, predicted = [list(g) for g, _ in pairs], [list(p) for _, p in pairs]
    settings = SEQEVAL | {"scheme": seqeval.scheme.IOB2}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zero_division is stated
        return float(getattr(seqeval.metrics, name)(gold, predicted, **settings))


def entity_f1(pairs: Sequence[Pair]) -> float:
    """lm-eval aggregation: micro-averaged strict F1 over all samples' entities."""
    return _seqeval("f1_score", pairs)


def entity_precision(pairs: Sequence[Pair]) -> float:
    """lm-eval aggregation: the share of predicted entities that are right."""
    return _seqeval("precision_score", pairs)


def entity_recall(pairs: Sequence[Pair]) -> float:
    """lm-eval aggregation: the share of reference entities that were found."""
    return _seqeval("recall_score", pairs)


def hallucination_rate(items: Sequence[tuple[int, int]]) -> float:
    """lm-eval aggregation: the share of all mentions that the text does not have (0 where nothing was mentioned)."""
    outside, mentions = (sum(column) for column in zip(*items, strict=True))
    return outside / mentions if mentions else 0.0


def counts_by_type(pairs: Sequence[Pair], types: Sequence[str]) -> np.ndarray:
    """Right, predicted and reference entities by sample and type, shape (samples, types + 1, 3); the last row of types is
    everything else that was predicted."""
    from seqeval.scheme import IOB2, Entities

    found = np.zeros((len(pairs), len(types) + 1, 3), dtype=np.int64)
    place = {name: number for number, name in enumerate(types)}
    for number, pair in enumerate(pairs):
        gold, predicted = ({(e.start, e.end, e.tag) for e in Entities([list(side)], scheme=IOB2).entities[0]} for side in pair)
        for column, members in enumerate((gold & predicted, predicted, gold)):
            for _, _, name in members:
                found[number, place.get(name, len(types)), column] += 1
    return found


def _f1(counts: np.ndarray) -> np.ndarray:
    return _ratio(2 * counts[..., 0], counts[..., 1] + counts[..., 2])


def _recall(counts: np.ndarray) -> np.ndarray:
    return _ratio(counts[..., 0], counts[..., 2])


def _share(counts: np.ndarray) -> np.ndarray:
    """The first count's share of the second: of what was predicted what is right, of what was mentioned what is outside."""
    return _ratio(counts[..., 0], counts[..., 1])


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.maximum(whole, 1), 0.0)


def exact_scores(collected: Mapping[str, Sequence], types: Sequence[str]) -> dict[str, Callable[[], Metric]]:
    """The metrics that counts determine, by name: micro-averages, the hallucination rate, and ``f1_TYPE``, ``precision_TYPE``
    and ``recall_TYPE`` for every type. `collected` holds `entity_results` by metric."""
    pairs = collected.get("entity_f1") or collected.get("entity_precision") or collected.get("entity_recall")
    found: dict[str, Callable[[], Metric]] = {}
    if pairs:
        counts = counts_by_type(pairs, types)
        for name, ratio in {"f1": _f1, "precision": _share, "recall": _recall}.items():
            found[f"entity_{name}"] = partial(from_counts, counts.sum(axis=1), ratio)
            for number, kind in enumerate(types):
                found[f"{name}_{kind}"] = partial(from_counts, counts[:, number], ratio)
    if rates := collected.get("hallucination_rate"):
        found["hallucination_rate"] = partial(from_counts, np.array(rates, dtype=np.int64), _share)
    return found
