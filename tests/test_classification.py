"""Scores of classification agree with scikit-learn's, one array at a time and many at once."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from harness.classification import (
    class_f1,
    classification_results,
    macro_f1,
    macro_f1_of_pairs,
    matthews,
    mcc_of_pairs,
    numbers,
)


def label_arrays() -> list[tuple[np.ndarray, np.ndarray, int]]:
    """(true, predicted, number of classes): random ones, some with absent classes, unknown answers or constant sides."""
    rng = np.random.default_rng(7)
    made = []
    for classes, n in product((2, 3, 5, 9), (1, 2, 7, 60, 300)):
        gold = rng.integers(0, classes, n)
        noisy = np.where(rng.random(n) < 0.6, gold, rng.integers(0, classes, n))
        made += [
            (gold, noisy, classes),
            (gold, rng.integers(-1, classes, n), classes),
            (np.minimum(gold, classes - 2), noisy, classes),
            (gold, np.minimum(noisy, classes - 2), classes),
            (gold, gold, classes),
            (gold, np.full(n, classes - 1), classes),
            (gold, np.full(n, -1), classes),
            (np.zeros(n, int), noisy, classes),
            (np.zeros(n, int), np.zeros(n, int), classes),
            (np.zeros(n, int), np.full(n, -1), classes),
        ]
    return made


ARRAYS = label_arrays()


def sklearn_f1(gold, predicted, labels, average):
    return f1_score(gold, predicted, labels=labels, average=average, zero_division=0)


def test_the_f1_of_each_class_is_scikit_learns():
    for gold, predicted, classes in ARRAYS:
        ours = [float(class_f1(gold, predicted, label)) for label in range(classes)]
        assert ours == pytest.approx(sklearn_f1(gold, predicted, range(classes), None), abs=1e-12)


def test_macro_f1_is_scikit_learns_over_every_class_of_the_task():
    for gold, predicted, classes in ARRAYS:
        theirs = sklearn_f1(gold, predicted, range(classes), "macro")
        assert float(macro_f1(gold, predicted, classes)) == pytest.approx(theirs, abs=1e-12)


@pytest.mark.filterwarnings("ignore:A single label was found")
def test_matthews_is_scikit_learns():
    for gold, predicted, classes in ARRAYS:
        assert float(matthews(gold, predicted, classes)) == pytest.approx(matthews_corrcoef(gold, predicted), abs=1e-12)


@pytest.mark.parametrize("score", [macro_f1, matthews, lambda g, p, c, axis=-1: class_f1(g, p, c - 1, axis)])
def test_many_resamples_at_once_equal_one_by_one(score):
    rng = np.random.default_rng(8)
    gold, predicted = rng.integers(0, 4, (5, 30, 40)), rng.integers(-1, 4, (5, 30, 40))
    predicted[0, 0], predicted[1, 1], gold[2, 2] = 3, -1, 0
    together = score(gold, predicted, 4)
    assert together.shape == (5, 30)
    for row in np.ndindex(5, 30):
        assert together[row] == score(gold[row], predicted[row], 4)
    across = score(np.moveaxis(gold, -1, 0), np.moveaxis(predicted, -1, 0), 4, axis=0)
    np.testing.assert_array_equal(across, together)


def test_labels_become_class_numbers_and_anything_else_is_unknown():
    found = numbers(["b", "a", None, "A", "", "c"], ("a", "b"))
    assert found.tolist() == [1, 0, -1, -1, -1, -1]
    assert found.dtype.kind == "i"
    assert numbers([], ("a",)).shape == (0,)


CHOICES = ("bad", "mixed", "good")


def test_a_document_is_scored_by_its_likeliest_choice():
    results = [(-3.0, False), (-1.0, True), (-2.0, False)]
    assert classification_results({}, results, CHOICES, "mixed") == {"acc": 1.0, "macro_f1": (1, 1, 3), "mcc": (1, 1, 3)}
    assert classification_results({}, results, CHOICES, 2) == {"acc": 0.0, "macro_f1": (2, 1, 3), "mcc": (2, 1, 3)}


def test_equally_likely_choices_give_the_first():
    assert classification_results({}, [(-2.0, False), (-1.0, True), (-1.0, True)], CHOICES, 1)["acc"] == 1.0


def test_a_label_that_is_no_choice_is_an_error():
    with pytest.raises(ValueError, match="ugly"):
        classification_results({}, [(-1.0, True)] * 3, CHOICES, "ugly")


def test_documents_together_give_scikit_learns_scores():
    rng = np.random.default_rng(9)
    gold, likelihoods = rng.integers(0, 2, 80), rng.normal(size=(80, 3))  # the third class is never true
    rows = [
        classification_results({}, [(x, False) for x in row], CHOICES, CHOICES[label] if label else 0)
        for label, row in zip(gold.tolist(), likelihoods.tolist(), strict=True)
    ]
    predicted = likelihoods.argmax(axis=1)
    assert macro_f1_of_pairs([r["macro_f1"] for r in rows]) == pytest.approx(sklearn_f1(gold, predicted, [0, 1, 2], "macro"))
    assert mcc_of_pairs([r["mcc"] for r in rows]) == pytest.approx(matthews_corrcoef(gold, predicted))
    assert np.mean([r["acc"] for r in rows]) == pytest.approx(accuracy_score(gold, predicted))
