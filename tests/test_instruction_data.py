"""The bundled prompts and answers: hashes, sizes, constraints obeyed, near-duplicates, second opinion, as the datasheet says."""

from __future__ import annotations

import hashlib
import json
from collections import Counter

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from harness.constraints import constraint_fault, strict, words
from harness.paths import shipped

HOME = shipped("tasks") / "instruction_following"
SPLITS = {"train": 350, "validation": 60, "test": 150}
EXAMPLE = {"id", "prompt", "response", "domain", "form", "constraints"}
PAIR = {"id", "split", "prompt", "chosen", "rejected", "aspect", "reason", "domain"}


def rows(name: str) -> list[dict]:
    return [json.loads(line) for line in (HOME / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def datasheet() -> str:
    return (HOME / "datasheet.md").read_text(encoding="utf-8")


def test_every_file_is_the_one_that_was_published():
    stated = dict(reversed(line.split()) for line in (HOME / "SHA256SUMS").read_text().splitlines())
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in HOME.glob("*.jsonl")}
    assert found == stated


@pytest.mark.parametrize("split", SPLITS)
def test_examples_are_well_formed_and_obey_their_own_constraints(split, datasheet):
    found = rows(split)
    assert len(found) >= SPLITS[split]
    for row in found:
        assert set(row) == EXAMPLE
        assert [constraint_fault(one) for one in row["constraints"]] == [None] * len(row["constraints"]), row["id"]
        assert all(strict(row["constraints"], row["response"])), row["id"]
        assert len(row["constraints"]) <= 3
    constrained = [row for row in found if row["constraints"]]
    counts = (
        f"| {split} | {len(found)} | {len(constrained)} | {sum(len(row['constraints']) for row in found)} | `{split}.jsonl` |"
    )
    assert counts in datasheet
    if split == "test":
        assert len(constrained) >= 110
    if split == "train":
        assert sum(30 <= len(words(row["response"])) <= 110 for row in found) > 0.85 * len(found)


def test_three_sets_answer_the_training_prompts(datasheet):
    train = rows("train")
    for name, said in (("train", "curated (`train.jsonl`)"), ("careless", "careless"), ("self", "self")):
        answers = {row["id"]: row["response"] for row in rows(name)}
        assert list(answers) == [row["id"] for row in train]
        mean = sum(len(words(answer)) for answer in answers.values()) / len(answers)
        obeyed = sum(all(strict(row["constraints"], answers[row["id"]])) for row in train if row["constraints"])
        assert f"| {said} | {mean:.1f} | {obeyed} |" in datasheet
    assert [row["prompt"] for row in rows("self")] == [row["prompt"] for row in train]  # what the model was asked


def test_the_first_of_the_training_prompts_are_as_diverse_as_all():
    train = rows("train")
    assert len({row["domain"] for row in train[:50]}) > 0.8 * len({row["domain"] for row in train})
    assert len({row["form"] for row in train[:25]}) >= 10


def test_no_near_duplicates_within_or_across_files():
    prompts = [row["prompt"] for name in (*SPLITS, "preferences") for row in rows(name)]
    matrix = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True).fit_transform(prompts)
    similar = (matrix @ matrix.T).tocoo()
    found = zip(similar.row, similar.col, similar.data, strict=True)
    assert not [(prompts[i], prompts[j], value) for i, j, value in found if i < j and value > 0.48]
    ids = [row["id"] for name in (*SPLITS, "preferences") for row in rows(name)]
    assert len(set(ids)) == len(ids)


def test_preferences_differ_in_named_ways_and_length_does_not_tell(datasheet):
    pairs = rows("preferences")
    assert len(pairs) >= 250
    assert all(set(row) == PAIR and all(row.values()) and row["chosen"] != row["rejected"] for row in pairs)
    assert Counter(row["split"] for row in pairs) == {"train": 200, "test": 64}
    assert min(Counter(row["aspect"] for row in pairs).values()) >= 20
    longer = sum(len(words(row["chosen"])) > len(words(row["rejected"])) for row in pairs)
    assert 0.4 < longer / len(pairs) < 0.6
    assert f"the longer one in {longer} of {len(pairs)}" in datasheet


def test_the_second_opinion_is_kept_whole_and_agrees_as_stated(datasheet):
    opinions = rows("opinions")
    assert [row["id"] for row in opinions] == [row["id"] for row in rows("preferences")]
    agreed = sum(row["better"] == "chosen" for row in opinions)
    assert f"preferred the chosen answer in {agreed} of {len(opinions)}" in datasheet
    assert 0.4 < sum(row["chosen_stood"] == "A" for row in opinions) / len(opinions) < 0.6
