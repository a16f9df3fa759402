"""Entity F1 of one cell minus another's on the same samples, with a paired bootstrap over samples (BCa, scipy).

    python benchmarks/entity_difference.py results-curve 'LoRA@3e13flops' 'dictionary@3e13flops'

A cell is named by its label and budget. Counts come from the stored places of entities.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy import stats

from harness.record import Record, read_results, read_samples


def counts(results: str, wanted: str) -> dict[str, tuple[int, int]]:
    """(right, predicted plus reference entities) by ``doc_id``; an answer that could not be read counts one predicted."""
    label, _, budget = wanted.partition("@")
    for folder, record in read_results(Path(results)):
        if isinstance(record, Record) and record.label == label and record.cell.budget == budget:
            found = {}
            for line in read_samples(folder):
                entities = line["entities"]
                gold, said = ({tuple(one) for one in entities[side]} for side in ("reference", "predicted"))
                extra = len(entities["outside"]) + (not entities["valid"])
                found[str(line["doc_id"])] = (len(gold & said), len(gold) + len(said) + extra)
            return found
    raise SystemExit(f"{results} has no cell {wanted}")


def main(results: str, one: str, other: str) -> None:
    first, second = counts(results, one), counts(results, other)
    shared = sorted(first.keys() & second.keys())
    table = np.array([[*first[doc], *second[doc]] for doc in shared])

    def difference(index: np.ndarray, axis: int = -1) -> np.ndarray:
        sums = table[index].sum(axis=axis - 1)
        return 2 * sums[..., 0] / sums[..., 1] - 2 * sums[..., 2] / sums[..., 3]

    place = np.arange(len(shared))
    found = stats.bootstrap((place,), difference, n_resamples=9999, batch=500, vectorized=True, rng=np.random.default_rng(0))
    low, high = found.confidence_interval
    print(f"{one} minus {other}: {float(difference(place)):.3f} (95 % {low:.3f} to {high:.3f}), {len(shared)} samples")


if __name__ == "__main__":
    main(*sys.argv[1:])
