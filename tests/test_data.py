"""The bundled sentences: hashes, labels, second labelling, near-duplicates, as their datasheet says."""

from __future__ import annotations

import hashlib
import json
from collections import Counter

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import cohen_kappa_score

from harness.paths import shipped

HOME = shipped("tasks") / "financial_sentiment"
SIZES = {"train": 700, "validation": 150, "test": 350}


def rows(split: str) -> list[dict]:
    return [json.loads(line) for line in (HOME / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("split", SIZES)
def test_a_split_is_the_one_that_was_published(split):
    stated = dict(reversed(line.split()) for line in (HOME / "SHA256SUMS").read_text().splitlines())
    assert hashlib.sha256((HOME / f"{split}.jsonl").read_bytes()).hexdigest() == stated[f"{split}.jsonl"]


@pytest.mark.parametrize(("split", "least"), SIZES.items())
def test_sizes_classes_and_fields(split, least):
    found = rows(split)
    assert len(found) >= least
    assert all(set(row) == {"id", "text", "label", "genre", "brief"} for row in found)
    shares = {label: count / len(found) for label, count in Counter(row["label"] for row in found).items()}
    assert set(shares) == {"negative", "neutral", "positive"}
    assert 0.4 < shares["neutral"] < 0.6
    assert shares["negative"] > 0.15


def test_ids_and_texts_are_unique():
    every = [row for split in SIZES for row in rows(split)]
    assert len({row["id"] for row in every}) == len(every)
    assert len({row["text"].lower() for row in every}) == len(every)


def test_no_near_duplicates_within_or_across_splits():
    """Cosine of character 3- to 5-gram TF-IDF at most 0.52: the bound that the datasheet states."""
    texts = [row["text"] for split in SIZES for row in rows(split)]
    matrix = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True).fit_transform(texts)
    similar = (matrix @ matrix.T).tocoo()
    close = [
        (texts[i], texts[j], v) for i, j, v in zip(similar.row, similar.col, similar.data, strict=True) if i < j and v > 0.52
    ]
    assert not close


def test_the_second_labelling_is_kept_whole_and_agrees_as_stated():
    labels = [json.loads(line) for line in (HOME / "labels.jsonl").read_text(encoding="utf-8").splitlines()]
    settled = {row["id"]: row["label"] for split in SIZES for row in rows(split)}
    assert {row["id"]: row["settled"] for row in labels} == settled
    differing = [row for row in labels if row["first"] != row["second"]]
    kappa = cohen_kappa_score([row["first"] for row in labels], [row["second"] for row in labels])
    datasheet = (HOME / "datasheet.md").read_text(encoding="utf-8")
    assert f"Cohen's kappa {kappa:.4f}" in datasheet
    assert f"{len(differing)} of {len(labels):,}" in datasheet
