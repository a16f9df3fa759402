"""The bundled snippets, read from the files beside this one."""

import json
from pathlib import Path

from datasets import Dataset, DatasetDict, Features, Value

from tunebench import answer_line

__all__ = ["answer_line", "load"]

_HERE = Path(__file__).resolve().parent
_FEATURES = Features(
    {
        "id": Value("string"),
        "text": Value("string"),
        "entities": [{"start": Value("int32"), "end": Value("int32"), "type": Value("string")}],
        "kind": Value("string"),
        "brief": Value("string"),
    }
)


def load(**_: object) -> DatasetDict:
    """Splits train, validation and test with the columns id, text, entities (start, end, type), kind, brief."""
    splits = {}
    for split in ("train", "validation", "test"):
        lines = (_HERE / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
        splits[split] = Dataset.from_list([json.loads(line) for line in lines], features=_FEATURES)
    return DatasetDict(splits)
