"""The bundled data: hashes, labels, second labelling, near-duplicates, as their datasheets say."""

from __future__ import annotations

import hashlib
import json
from collections import Counter

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import cohen_kappa_score

from harness.entities import answer_line, entities_of, fault, read_answer
from harness.loading import load_task
from harness.paths import shipped

#: the smallest size of each split that was promised
SIZES = {
    "financial_sentiment": {"train": 700, "validation": 150, "test": 350},
    "medical_ner": {"train": 400, "validation": 75, "test": 175},
}
FIELDS = {
    "financial_sentiment": {"id", "text", "label", "genre", "brief"},
    "medical_ner": {"id", "text", "entities", "kind", "brief"},
}
#: cosine of character 3- to 5-gram TF-IDF that no two texts pass: the bounds that the datasheets state
SIMILAR = {"financial_sentiment": 0.52, "medical_ner": 0.5}
TYPES = ("NAME", "DATE", "MEDICATION", "DOSAGE", "CONDITION")
bundled = pytest.mark.parametrize("task", SIZES)


def lines(task: str, name: str) -> list[dict]:
    return [json.loads(line) for line in (shipped("tasks") / task / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def every(task: str) -> list[dict]:
    return [row for split in SIZES[task] for row in lines(task, split)]


def datasheet(task: str) -> str:
    return (shipped("tasks") / task / "datasheet.md").read_text(encoding="utf-8")


@bundled
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_split_is_the_one_that_was_published(task, split):
    home = shipped("tasks") / task
    stated = dict(reversed(line.split()) for line in (home / "SHA256SUMS").read_text().splitlines())
    assert hashlib.sha256((home / f"{split}.jsonl").read_bytes()).hexdigest() == stated[f"{split}.jsonl"]
    assert len(lines(task, split)) >= SIZES[task][split]
    assert all(set(row) == FIELDS[task] for row in lines(task, split))


@bundled
def test_ids_and_texts_are_unique(task):
    rows = every(task)
    assert len({row["id"] for row in rows}) == len(rows)
    assert len({row["text"].lower() for row in rows}) == len(rows)


@bundled
def test_no_near_duplicates_within_or_across_splits(task):
    texts = [row["text"] for row in every(task)]
    matrix = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True).fit_transform(texts)
    similar = (matrix @ matrix.T).tocoo()
    found = zip(similar.row, similar.col, similar.data, strict=True)
    assert not [(texts[i], texts[j], value) for i, j, value in found if i < j and value > SIMILAR[task]]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_the_sentiment_classes_are_mixed_as_news_is(split):
    found = lines("financial_sentiment", split)
    shares = {label: count / len(found) for label, count in Counter(row["label"] for row in found).items()}
    assert set(shares) == {"negative", "neutral", "positive"}
    assert 0.4 < shares["neutral"] < 0.6
    assert shares["negative"] > 0.15


def test_the_second_sentiment_labelling_is_kept_whole_and_agrees_as_stated():
    labels = lines("financial_sentiment", "labels")
    settled = {row["id"]: row["label"] for row in every("financial_sentiment")}
    assert {row["id"]: row["settled"] for row in labels} == settled
    differing = [row for row in labels if row["first"] != row["second"]]
    kappa = cohen_kappa_score([row["first"] for row in labels], [row["second"] for row in labels])
    assert f"Cohen's kappa {kappa:.4f}" in datasheet("financial_sentiment")
    assert f"{len(differing)} of {len(labels):,}" in datasheet("financial_sentiment")


def test_medical_entities_are_well_formed_and_a_perfect_answer_reads_back_as_the_reference():
    for row in every("medical_ner"):
        assert fault(row, TYPES) == "", row["id"]
        assert list(read_answer(row["text"], answer_line(row), TYPES).entities) == entities_of(row), row["id"]
        assert 12 <= len(row["text"].split()) <= 40, row["id"]


def test_the_medical_datasheet_counts_what_is_there():
    said = datasheet("medical_ner")
    for split in SIZES["medical_ner"]:
        rows = lines("medical_ner", split)
        counts = Counter(one["type"] for row in rows for one in row["entities"])
        cells = [len(rows), sum(not row["entities"] for row in rows), *(counts[kind] for kind in TYPES)]
        assert f"| {split} | {' | '.join(f'{cell:,}' for cell in cells)} | `{split}.jsonl` |" in said


def test_the_second_medical_annotation_is_kept_whole_and_agrees_as_stated():
    both = {row["id"]: row for row in lines("medical_ner", "annotations")}
    rows = every("medical_ner")
    assert set(both) == {row["id"] for row in rows}

    def f1(kind: str | None) -> float:
        sides = [
            {(i, *one) for i, row in both.items() for one in row[side] if kind in (None, one[2])} for side in ("first", "second")
        ]
        return 2 * len(sides[0] & sides[1]) / (len(sides[0]) + len(sides[1]))

    stated = " | ".join(f"{f1(kind):.4f}" for kind in [*TYPES, None])
    assert f"| F1 | {stated} |" in datasheet("medical_ner")
    taken = Counter()
    for row in rows:
        first, second = both[row["id"]]["first"], both[row["id"]]["second"]
        settled = [[one["start"], one["end"], one["type"]] for one in row["entities"]]
        assert settled in (first, second)
        if first != second:
            taken["first" if settled == first else "second"] += 1
    assert f"{taken.total()} of {len(rows):,} texts differed" in datasheet("medical_ner")
    assert f"{taken['first']} for the first annotation and {taken['second']} for the second" in datasheet("medical_ner")


def test_the_medical_task_declares_the_types_that_it_scores():
    task = load_task("medical_ner", [shipped("tasks")])
    assert tuple(task.meta.entity_types) == TYPES
    assert [sample.reference for sample in task.samples(None)] == [answer_line(doc) for doc in task.docs("test")]
