"""Tasks whose data come from the Hub: with a local copy, without a network, and (marked) against a stand-in."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, Features, Value

from harness.errors import UserError
from harness.loading import load_task
from harness.paths import shipped

NAMES = ("negative", "neutral", "positive")


@pytest.fixture
def local_copy(tmp_path) -> Path:
    """A made-up repository of the published shape: two configurations as parquet, `text` and `label`."""
    home = tmp_path / "mteb" / "financial_phrasebank"
    features = Features({"text": Value("string"), "label": ClassLabel(names=list(NAMES))})
    for part, start in (("train", 0), ("test", 60)):
        rows = [
            {"text": f"{hashlib.sha256(str(i).encode()).hexdigest()[:40]} made up", "label": NAMES[i % 3]}
            for i in range(start, start + 60)
        ]
        rows.append({"text": "Said twice, judged twice.", "label": int(part == "train")})
        rows.append({"text": "Said  twice,\njudged alike.", "label": 0})
        target = home / "sentences_allagree" / f"{part}-00000-of-00001.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        Dataset.from_list(rows, features=features).to_parquet(target)
    (home / "README.md").write_text(
        "---\nconfigs:\n- config_name: sentences_allagree\n  data_files:\n"
        "  - split: train\n    path: sentences_allagree/train-*\n"
        "  - split: test\n    path: sentences_allagree/test-*\n---\n"
    )
    return tmp_path


@pytest.fixture(autouse=True)
def own_datasets_cache(tmp_path, monkeypatch):
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")


def test_a_local_copy_is_split_without_overlap_and_stratified(local_copy):
    task = load_task("financial_phrasebank", [shipped("tasks")], local_copy)
    texts = {split: [doc["text"] for doc in task.docs(split)] for split in ("train", "validation", "test")}
    every = [text for part in texts.values() for text in part]
    assert len(every) == len(set(every)) == 121  # 120 and the one judged alike; the one judged twice is dropped
    assert "Said twice, judged alike." in every
    counts = Counter(doc["label"] for doc in task.docs("test"))
    assert set(counts.values()) == {10}
    again = load_task("financial_phrasebank", [shipped("tasks")], local_copy)
    assert [doc["text"] for doc in again.docs("test")] == texts["test"]


def test_the_transfer_task_trains_on_bundled_sentences_and_tests_on_the_others(local_copy):
    task = load_task("financial_phrasebank_transfer", [shipped("tasks")], local_copy)
    bundled = load_task("financial_sentiment", [shipped("tasks")])
    assert {d["text"] for d in task.docs("train")} == {d["text"] for d in bundled.docs("train")}
    assert all("made up" in d["text"] or "Said" in d["text"] for d in task.docs("test"))
    assert not task.meta.redistribute


def test_without_network_or_copy_the_id_the_cause_and_the_way_round_are_said(tmp_path):
    with pytest.raises(UserError) as refusal:
        load_task("financial_phrasebank", [shipped("tasks")], tmp_path)
    message = str(refusal.value)
    assert "mteb/financial_phrasebank@9349ecd31615" in message
    assert "--data-dir" in message
    assert "\n" not in message


@pytest.mark.hub
@pytest.mark.skipif(
    "TUNEBENCH_TEST_HUB" not in os.environ, reason="needs a Hub stand-in: set HF_ENDPOINT and TUNEBENCH_TEST_HUB=1"
)
@pytest.mark.parametrize(("name", "least"), [("financial_phrasebank", 2200), ("financial_phrasebank_50agree", 4700)])
def test_the_published_sets_load(name, least):
    task = load_task(name, [shipped("tasks")])
    sizes = {split: len(task.docs(split)) for split in ("train", "validation", "test")}
    assert sum(sizes.values()) > least
    assert set(task.docs("test")["label"]) == set(NAMES)


def test_ncbi_sentences_are_joined_as_printed_and_train_on_the_bundled_snippets(tmp_path):
    rows = [{"tokens": ["No", "ataxia", "-", "telangiectasia", "(", "AT", ")", "."], "ner_tags": [0, 1, 2, 2, 0, 1, 0, 0]}]
    target = tmp_path / "bigbio" / "blurb" / "ncbi_disease" / "test" / "0000.parquet"
    target.parent.mkdir(parents=True)
    Dataset.from_list(rows).to_parquet(target)
    task = load_task("ncbi_disease_transfer", [shipped("tasks")], tmp_path)
    (sample,) = task.samples(None)
    assert sample.doc["text"] == "No ataxia-telangiectasia (AT)."
    assert sample.reference == "condition: ataxia-telangiectasia; condition: AT"
    assert len(task.docs("train")) == len(load_task("medical_ner", [shipped("tasks")]).docs("train"))
    assert not task.meta.redistribute


def test_a_local_copy_is_read_as_it_is_now_and_not_as_another_of_its_name_was(local_copy, tmp_path):
    from harness.hub import load_hub_dataset

    def first() -> str:
        return load_hub_dataset("mteb/financial_phrasebank", "x", str(local_copy), name="sentences_allagree")["train"][0]["text"]

    assert first().endswith("made up")
    target = next((local_copy / "mteb" / "financial_phrasebank").rglob("train-*.parquet"))
    features = Features({"text": Value("string"), "label": ClassLabel(names=list(NAMES))})
    Dataset.from_list([{"text": "new", "label": 0}], features=features).to_parquet(target)
    assert first() == "new"
    target.write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"its copy in .* cannot be read: .*; copy the whole repository again"):
        first()
