"""Financial PhraseBank from the Hub (or a local copy), with a fixed stratified split made here.

Ids, revision and columns as MTEB uses them: https://huggingface.co/datasets/mteb/financial_phrasebank.
"""

import hashlib
import json
from pathlib import Path

from datasets import Dataset, DatasetDict, concatenate_datasets

from tunebench import distinct, load_hub_dataset

_HERE = Path(__file__).resolve().parent
_NAMES = ("negative", "neutral", "positive")
#: shares of each class, by rank of a hash of the sentence; the rest is for training
_TEST, _VALIDATION = 0.25, 0.10


def load(configuration: str, tunebench: dict, train_on: str = "", data_dir: str = "", **_: object) -> DatasetDict:
    """Splits train, validation, test with the columns text and label (a name). Repeated sentences are kept once, one with two
    labels is dropped, and what is nearly a test sentence is not trained on. `train_on` takes training and validation from a
    bundled task's files instead."""
    source = tunebench["source"]
    rows = _rows(configuration, source["id"], source["revision"], data_dir)
    labels: dict[str, set[str]] = {}
    for text, label in rows:
        labels.setdefault(text, set()).add(label)
    splits: dict[str, list[dict]] = {"train": [], "validation": [], "test": []}
    for name in _NAMES:
        texts = sorted((t for t, own in labels.items() if own == {name}), key=lambda t: hashlib.sha256(t.encode()).digest())
        test, validation = round(_TEST * len(texts)), round(_VALIDATION * len(texts))
        for split, part in (
            ("test", texts[:test]),
            ("validation", texts[test : test + validation]),
            ("train", texts[test + validation :]),
        ):
            splits[split].extend({"text": text, "label": name} for text in part)
    if train_on:
        for split in ("train", "validation"):
            lines = (_HERE.parent / train_on / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
            splits[split] = [{"text": row["text"], "label": row["label"]} for row in map(json.loads, lines)]
    splits = distinct(splits)
    for part in splits.values():
        part.sort(key=lambda row: hashlib.sha256(f"order {row['text']}".encode()).digest())
    return DatasetDict({split: Dataset.from_list(part) for split, part in splits.items()})


def _rows(configuration: str, repository: str, revision: str, data_dir: str) -> list[tuple[str, str]]:
    """(sentence, label name) of every split of the published set."""
    found = load_hub_dataset(repository, revision, data_dir, name=configuration)
    whole = concatenate_datasets([found[split] for split in sorted(found)])
    feature = whole.features["label"]
    named = feature.int2str if hasattr(feature, "int2str") else lambda value: value if isinstance(value, str) else _NAMES[value]
    return [(" ".join(row["text"].split()), named(row["label"])) for row in whole]
