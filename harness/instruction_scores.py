"""Scores of answers to instructions: IFEval's accuracies, the reference's likelihood, length and repetition, sample by sample.

An answer is held to its document's `constraints` as it stands (strict) and in IFEval's loosened variants (loose). *Prompt-level*:
the share of prompts whose constraints are all obeyed; *instruction-level*: the share of all constraints (Zhou et al. 2023,
arXiv:2311.07911, section 2.2). Documents without constraints have no part in either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from harness.constraints import loose, strict, without_gaps, words
from harness.intervals import from_counts
from harness.record import Metric

#: what `instruction_results` may give; what a document has no part in is left out
METRICS = (
    "prompt_level_strict_acc", "inst_level_strict_acc", "prompt_level_loose_acc", "inst_level_loose_acc", "answer_words",
    "repetition", "reference_bits_per_byte",
)  # fmt: skip
#: words in the runs that are looked for again
_RUN = 4


def repetition(text: str, run: int = _RUN) -> float:
    """The share of runs of four words that occurred before in the text (Welleck et al. 2020, seq-rep-4); 0 where there is
    none."""
    found = [word.lower() for word in words(text)]
    runs = list(zip(*(found[start:] for start in range(run)), strict=False))
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def constraints_of(doc: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A document's constraints, without the empty arguments that a table of several kinds has."""
    return [without_gaps(one) for one in doc.get("constraints") or []]


def instruction_results(doc: Mapping[str, Any], results: Sequence[Any]) -> dict[str, Any]:
    """What an instruction task's ``process_results`` gives lm-eval for one document (`constraints`, and `response`, the
    reference).

    `results` are the answer and, where the reference's likelihood was asked for, its (log-likelihood, is-greedy). Keys:
    `prompt_level_strict_acc` and `prompt_level_loose_acc` (0 or 1), `inst_level_strict_acc` and `inst_level_loose_acc` (a list of
    0 and 1, pooled by `inst_level_acc`), `answer_words`, `repetition`, `reference_bits_per_byte` (log-likelihood in nats, bytes).
    """
    answer = results[0]
    found: dict[str, Any] = {"answer_words": float(len(words(answer))), "repetition": repetition(answer)}
    if constraints := constraints_of(doc):
        for name, obeyed in (("strict", strict(constraints, answer)), ("loose", loose(constraints, answer))):
            found[f"prompt_level_{name}_acc"] = float(all(obeyed))
            found[f"inst_level_{name}_acc"] = [float(one) for one in obeyed]
    if len(results) > 1 and doc.get("response"):
        found["reference_bits_per_byte"] = (results[1][0], len(doc["response"].encode()))
    return found


def inst_level_acc(items: Sequence[Sequence[float]]) -> float:
    """lm-eval aggregation: the share of all constraints of all samples that were obeyed."""
    flat = [value for item in items for value in item]
    return sum(flat) / len(flat)


def share(counts: np.ndarray) -> np.ndarray:
    """The first count for each of the second; shape (..., 2) to (...)."""
    return counts[..., 0] / np.maximum(counts[..., 1], 1)


def _bits(counts: np.ndarray) -> np.ndarray:
    return share(counts) / math.log(2)


def likelihood(counts: np.ndarray) -> np.ndarray:
    """The geometric mean of token probabilities, from (nats, tokens); shape (..., 2) to (...)."""
    return np.exp(-share(counts))


def exact_scores(lines: Sequence[Mapping[str, Any]], collected: Mapping[str, Sequence]) -> dict[str, Callable[[], Metric]]:
    """The metrics that sums over samples determine, by name: instruction-level accuracies, bits per byte, and what lm-eval's
    interface has no place for (a task there never sees tokens): `reference_likelihood`, the probability that the model gives each
    token of the references, as a geometric mean over all of them. `collected` holds `instruction_results` by metric."""
    found: dict[str, Callable[[], Metric]] = {}
    for name in ("inst_level_strict_acc", "inst_level_loose_acc"):
        if items := collected.get(name):
            found[name] = partial(from_counts, np.array([[sum(item), len(item)] for item in items]), share)
    if pairs := collected.get("reference_bits_per_byte"):
        found["reference_bits_per_byte"] = partial(from_counts, np.array([[-nats, size] for nats, size in pairs]), _bits)
    told = [line for line in lines if line.get("reference_tokens")]
    if told:
        counts = np.array([[-line["reference_loglikelihood"], line["reference_tokens"]] for line in told])
        found["reference_likelihood"] = partial(from_counts, counts, likelihood)
    return found


def sample_scores(line: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, float]:
    """One sample's own values of the metrics that are pooled from pairs and lists."""
    found = {name: sum(value) / len(value) for name, value in results.items() if name.startswith("inst_level_")}
    if "reference_bits_per_byte" in results:
        nats, size = results["reference_bits_per_byte"]
        found["reference_bits_per_byte"] = -nats / math.log(2) / size
    if line.get("reference_tokens"):
        found["reference_likelihood"] = math.exp(line["reference_loglikelihood"] / line["reference_tokens"])
    return found


def checked(doc: Mapping[str, Any], answer: str) -> list[dict[str, Any]]:
    """Each constraint of a document with whether the answer obeyed it, strictly and loosely."""
    constraints = constraints_of(doc)
    pairs = zip(constraints, strict(constraints, answer), loose(constraints, answer), strict=True)
    return [{**constraint, "strict": obeyed, "loose": nearly} for constraint, obeyed, nearly in pairs]
