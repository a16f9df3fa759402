"""NCBI disease (sentences of PubMed abstracts, diseases marked) from the Hub or a local copy, as text with character offsets.

Columns `tokens` and `ner_tags` (0 O, 1 B-Disease, 2 I-Disease): https://huggingface.co/datasets/bigbio/blurb, whose
parquet conversion loads without a script. Dogan, Leaman, Lu: "NCBI disease corpus", J. Biomed. Inform. 47, 2014.
"""

import json
from pathlib import Path

from datasets import Dataset, DatasetDict, Features, Value

from tunebench import answer_line, distinct, entity_results, load_hub_dataset, text_from_tags

__all__ = ["answer_line", "load", "process_results", "process_transfer"]

_HERE = Path(__file__).resolve().parent
_SPLITS = ("train", "validation", "test")
_BUNDLED = ("NAME", "DATE", "MEDICATION", "DOSAGE", "CONDITION")
_FEATURES = Features(
    {"text": Value("string"), "entities": [{"start": Value("int32"), "end": Value("int32"), "type": Value("string")}]}
)


def load(tunebench: dict, train_on: str = "", data_dir: str = "", **_: object) -> DatasetDict:
    """The published splits with the columns text and entities, every sentence once. `train_on` takes training and validation
    from a bundled task's files instead; a disease is called what that task calls it."""
    source = tunebench["source"]
    kind = "CONDITION" if train_on else "DISEASE"
    names = ("O", f"B-{kind}", f"I-{kind}")
    wanted = ("test",) if train_on else _SPLITS
    files = {split: f"ncbi_disease/{split}/0000.parquet" for split in wanted}
    rows = load_hub_dataset(source["id"], source["revision"], data_dir, files)
    splits = {
        split: [text_from_tags(row["tokens"], [names[tag] for tag in row["ner_tags"]]) for row in rows[split]] for split in wanted
    }
    if not train_on:
        splits = distinct(splits, (kind,))
    for split in ("train", "validation") if train_on else ():
        lines = (_HERE.parent / train_on / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
        splits[split] = [{"text": row["text"], "entities": row["entities"]} for row in map(json.loads, lines)]
    return DatasetDict({split: Dataset.from_list(part, features=_FEATURES) for split, part in splits.items()})


def process_results(doc: dict, results: list) -> dict:
    return entity_results(doc, results, ("DISEASE",))


def process_transfer(doc: dict, results: list) -> dict:
    """Only conditions count: the set marks nothing else, so other types are neither right nor wrong."""
    return entity_results(doc, results, _BUNDLED, scored=("CONDITION",))
