"""Which test documents were seen in training: against sets computed by hand, through a run, and in the report."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from harness.contamination import RUN, content, overlap, read, runs
from harness.loading import load_task
from harness.paths import shipped
from harness.similar import similar_pairs
from tests.conftest import TASK, write_task
from tunebench import main

LONG = "one two three four five six seven eight nine ten"


def test_runs_are_of_eight_words_without_case_and_signs():
    assert RUN == 8
    assert runs("One, two: three four five six seven EIGHT nine!") == {
        "one two three four five six seven eight",
        "two three four five six seven eight nine",
    }
    assert runs("Too short.") == {"whole too short"}
    assert runs("…") == set()


@pytest.mark.parametrize(
    ("train", "test", "sharing", "identical"),
    [
        ([LONG], [LONG, "another text"], [0], [0]),
        ([LONG.upper() + "!"], [LONG], [0], [0]),
        (["zero " + LONG], ["nothing", LONG], [1], []),
        ([LONG], ["three four five six seven eight nine ten eleven"], [0], []),
        ([LONG], ["four five six seven eight nine ten eleven"], [], []),
        (["A short one."], ["a short one", "a short one more"], [0], [0]),
        (["a short one and then some more words behind it"], ["A short one."], [], []),
        ([], [LONG], [], []),
        (["", "…"], ["", LONG], [], []),
        ([LONG, LONG], [LONG, LONG], [0, 1], [0, 1]),
    ],
)
def test_what_is_shared_is_found(train, test, sharing, identical):
    assert overlap(train, test) == {"sharing": sharing, "identical": identical}


def test_it_agrees_with_a_search_of_all_pairs():
    import random

    random.seed(3)
    texts = [" ".join(random.choice("ab") for _ in range(random.randint(3, 14))) for _ in range(60)]
    train, test = texts[:30], texts[30:]

    def seen(text: str) -> bool:
        words = text.split()
        inside = [" ".join(words[i : i + 8]) for i in range(len(words) - 7)]
        return text in train or any(f" {one} " in f" {other} " for one in inside for other in train)

    assert overlap(train, test)["sharing"] == [number for number, text in enumerate(test) if seen(text)]


def test_a_documents_own_words_are_those_of_its_columns_not_of_the_template():
    task = load_task("financial_sentiment", [shipped("tasks")])
    doc = task.docs("test")[0]
    assert content(task, doc) == doc["text"]
    task = load_task("medical_ner", [shipped("tasks")])
    assert content(task, task.docs("test")[3]) == task.docs("test")[3]["text"]


@pytest.fixture
def pair(tmp_path):
    """Two tasks, of which the second is tested on a document that the first trains on, and on one of its own."""
    seen = "The kettle was on, the dog was in, and rain ran down the pane."
    fresh = [f"Entry {word} of the log, with nothing else to say about it." for word in ["alpha", "bravo", "carol", "delta"]]
    rows = {
        "train": [{"text": seen, "label": "good"}, {"text": fresh[0] + " It went on.", "label": "bad"}],
        "validation": [{"text": "A line of its own.", "label": "bad"}, {"text": "And one more.", "label": "good"}],
        "test": [{"text": "Nobody came.", "label": "bad"}, {"text": "Everybody left.", "label": "good"}],
    }
    folder = write_task(tmp_path / "tasks", "first", rows)
    other = {
        "train": [{"text": "A harbour.", "label": "good"}, {"text": "No harbour.", "label": "bad"}],
        "validation": rows["validation"],
        "test": [{"text": "Quiet.", "label": "bad"}, {"text": f"Note: {seen}", "label": "good"}],
    }
    return write_task(folder, "second", other)


def run(folder, results, model, *words) -> int:
    return main(
        ["run", "--include-path", str(folder), "--model", str(model), "--results", str(results), "--methods", "tfidf", *words]
    )


def test_a_run_compares_every_training_set_with_every_test_set_and_reports_it(pair, tmp_path, tiny_model):
    results = tmp_path / "results"
    assert run(pair, results, tiny_model, "--tasks", "first,second") == 0
    found = {(one["train"], one["test"]): (one["sharing"], one["identical"], one["documents"]) for one in read(results).values()}
    assert found == {
        ("first", "first"): (0, 0, []),
        ("first", "second"): (1, 0, [1]),
        ("second", "first"): (0, 0, []),
        ("second", "second"): (0, 0, []),
    }
    report = (results / "report.md").read_text()
    part = report[report.index("## Seen in training?") :]
    assert "| training set | test: first | test: second |" in part
    assert "| first, 2 documents | 0 of 2 | 1 of 2 |" in part
    assert "| second, 2 documents | 0 of 2 | 0 of 2 |" in part
    assert "**second**: documents 1 share words with the training set of first." in part


def test_pairs_that_are_known_are_not_compared_again_and_others_join_them(pair, tmp_path, tiny_model, monkeypatch):
    results = tmp_path / "results"
    assert run(pair, results, tiny_model, "--tasks", "first") == 0
    before = (results / "contamination.json").read_bytes()
    monkeypatch.setattr("harness.contamination.overlap", None)
    assert run(pair, results, tiny_model, "--tasks", "first") == 0
    assert (results / "contamination.json").read_bytes() == before
    monkeypatch.undo()
    assert run(pair, results, tiny_model, "--tasks", "second") == 0
    assert len(read(results)) == 2


def test_what_cannot_be_read_is_compared_again_and_the_report_says_so_until_then(pair, tmp_path, tiny_model):
    results = tmp_path / "results"
    assert run(pair, results, tiny_model, "--tasks", "first") == 0
    for damage in ("{", "[]", json.dumps({"run": 8, "pairs": 3})):
        (results / "contamination.json").write_text(damage)
        assert main(["report", str(results)]) == 0
        assert "contamination.json cannot be read" in (results / "report.md").read_text()
    assert run(pair, results, tiny_model, "--tasks", "first") == 0
    assert "| first, 2 documents | 0 of 2 |" in (results / "report.md").read_text()


def test_set_aside_documents_are_compared_as_what_they_are(tmp_path, tiny_model):
    texts = [f"{a} beside {b} on the long shelf by the door" for a, b in pairwise("abcdefghijklmnopqrstuvwxyz")]
    rows = {"train": [{"text": text, "label": "good" if i % 2 else "bad"} for i, text in enumerate(texts)]}
    rows |= {"test": rows["train"][:2], "validation": rows["train"][:1]}
    yaml = TASK.format(name="toy").replace("validation_split: validation\n", "")
    folder = write_task(tmp_path / "tasks", rows=rows, yaml=yaml)
    assert run(folder, tmp_path / "results", tiny_model, "--tasks", "toy", "--split", "validation") == 0
    (found,) = read(tmp_path / "results").values()
    assert (found["train_documents"], found["test_documents"], found["split"]) == (23, 2, "validation")


def test_similarity_is_the_cosine_of_character_ngram_counts():
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.metrics.pairwise import cosine_similarity

    first = ["Net sales rose to 12 million euros", "The plant closes", "Nothing of the kind"]
    second = ["Net sales rose to 13 million euros", "A wholly other sentence", "the plant CLOSES"]
    counts = CountVectorizer(analyzer="char_wb", ngram_range=(3, 5)).fit(first + second)
    expected = cosine_similarity(counts.transform(first), counts.transform(second))
    found = list(similar_pairs(first, second, near=0.5))
    assert [(one, other) for one, other, _ in found] == [(0, 0), (1, 2)]
    assert [value for *_, value in found] == pytest.approx([expected[0, 0], expected[1, 2]], abs=1e-3)
    assert list(similar_pairs([], second)) == list(similar_pairs(first, [])) == []


def test_labels_that_a_prompt_lists_are_no_words_of_a_document(tmp_path):
    yaml = TASK.format(name="toy").replace("Label:", "Label (bad or good):")
    rows = [{"text": f"{word} and no more than that", "label": "good"} for word in ("Plenty", "Little", "Nothing")]
    twin = [rows[0] | {"label": "bad"}, {"text": "Something else again", "label": "good"}]
    folder = write_task(tmp_path / "tasks", rows={"train": rows, "validation": rows[1:2], "test": twin}, yaml=yaml)
    task = load_task("toy", [folder])
    assert content(task, task.docs("train")[0]) == "Plenty and no more than that"
    found = overlap([content(task, doc) for doc in task.docs("train")], [content(task, doc) for doc in task.docs("test")])
    assert found == {"sharing": [0], "identical": [0]}
