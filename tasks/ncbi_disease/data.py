"""NCBI disease (sentences of PubMed abstracts, diseases marked) from the Hub or a local copy, as text with character offsets.

Columns `tokens` and `ner_tags` (0 O, 1 B-Disease, 2 I-Disease): https://huggingface.co/datasets/bigbio/blurb, whose
parquet conversion loads without a script. Dogan, Leaman, Lu: "NCBI disease corpus", J. Biomed. Inform. 47, 2014.
"""

import json
from pathlib import Path

from datasets import Dataset, DatasetDict, Features, Value

from tunebench import answer_line, entity_results, load_hub_dataset

__all__ = ["answer_line", "load", "process_results"]

_HERE = Path(__file__).resolve().parent
_TYPES = ("NAME", "DATE", "MEDICATION", "DOSAGE", "CONDITION")
#: signs that stand without a blank before them, behind them, or on either side
_NONE_BEFORE, _NONE_BEHIND = set(",.;:)]%-/'"), set("([-/'")
_FEATURES = Features(
    {"text": Value("string"), "entities": [{"start": Value("int32"), "end": Value("int32"), "type": Value("string")}]}
)


def load(tunebench: dict, train_on: str, data_dir: str = "", **_: object) -> DatasetDict:
    """Splits train and validation of the bundled task `train_on`, and test of the published set; columns text, entities."""
    source = tunebench["source"]
    files = {"test": "ncbi_disease/test/0000.parquet"}
    rows = load_hub_dataset(source["id"], source["revision"], data_dir, data_files=files)["test"]
    splits = {"test": [sentence(row["tokens"], row["ner_tags"]) for row in rows]}
    for split in ("train", "validation"):
        lines = (_HERE.parent / train_on / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
        splits[split] = [{"text": row["text"], "entities": row["entities"]} for row in map(json.loads, lines)]
    return DatasetDict({split: Dataset.from_list(part, features=_FEATURES) for split, part in splits.items()})


def sentence(tokens: list[str], tags: list[int]) -> dict:
    """Tokens joined as they would be printed, and each disease as a CONDITION with its characters."""
    text, entities = "", []
    for number, (token, tag) in enumerate(zip(tokens, tags, strict=True)):
        glued = number == 0 or token[0] in _NONE_BEFORE or tokens[number - 1][-1] in _NONE_BEHIND
        text += token if glued else f" {token}"
        if tag == 1 or (tag == 2 and not (number and tags[number - 1])):
            entities.append({"start": len(text) - len(token), "end": len(text), "type": "CONDITION"})
        elif tag == 2:
            entities[-1]["end"] = len(text)
    return {"text": text, "entities": entities}


def process_results(doc: dict, results: list) -> dict:
    """Only conditions count: the set marks nothing else, so other types are neither right nor wrong."""
    return entity_results(doc, results, _TYPES, scored=("CONDITION",))
