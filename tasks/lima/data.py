"""LIMA's training prompts with their answers, and IFEval's prompts with their constraints, from the Hub or local copies.

https://huggingface.co/datasets/GAIR/lima (gated; Zhou et al. 2023, arXiv:2305.11206), columns `conversations`, `source`.
https://huggingface.co/datasets/google/IFEval (Zhou et al. 2023, arXiv:2311.07911), columns `key`, `prompt`,
`instruction_id_list`, `kwargs`.
"""

import hashlib
from collections.abc import Iterable

from datasets import Dataset, DatasetDict, Features, Value

from tunebench import CONSTRAINT_ARGUMENTS, UserError, constraint_fault, load_hub_dataset

_VALIDATION = 60
_COLUMNS = {list: [Value("string")], int: Value("int32"), str: Value("string")}
_CONSTRAINT = {"id": Value("string")} | {name: _COLUMNS[kind] for name, kind in CONSTRAINT_ARGUMENTS.items()}
_FEATURES = Features({"prompt": Value("string"), "response": Value("string"), "constraints": [_CONSTRAINT]})


def load(tunebench: dict, test_revision: str, data_dir: str = "", **_: object) -> DatasetDict:
    """Splits train and validation (LIMA's single exchanges; which are validation follows from a hash of the prompt) and test
    (IFEval), with the columns prompt, response (empty in test) and constraints (none in train and validation)."""
    source = tunebench["source"]
    rows = load_hub_dataset(source["id"], source["revision"], data_dir, {"train": "train.jsonl"})["train"]
    pairs = {row["conversations"][0].strip(): row["conversations"][1].strip() for row in rows if len(row["conversations"]) == 2}
    ranked = sorted(pairs, key=lambda prompt: hashlib.sha256(prompt.encode()).digest())
    tested = load_hub_dataset("google/IFEval", test_revision, data_dir, {"test": "ifeval_input_data.jsonl"})["test"]
    return DatasetDict(
        train=_table({"prompt": prompt, "response": pairs[prompt], "constraints": []} for prompt in ranked[_VALIDATION:]),
        validation=_table({"prompt": prompt, "response": pairs[prompt], "constraints": []} for prompt in ranked[:_VALIDATION]),
        test=_table({"prompt": row["prompt"], "response": "", "constraints": _constraints(row)} for row in tested),
    )


def _constraints(row: dict) -> list[dict]:
    """IFEval's identifiers with their arguments, as our checkers take them."""
    found = []
    for name, arguments in zip(row["instruction_id_list"], row["kwargs"], strict=True):
        stated = {key: value for key, value in (arguments or {}).items() if value is not None}
        one = {"id": name} | {key: int(value) if isinstance(value, float) else value for key, value in stated.items()}
        if wrong := constraint_fault(one):
            raise UserError(f"google/IFEval, key {row['key']}: {wrong}")
        found.append(one)
    return found


def _table(rows: Iterable[dict]) -> Dataset:
    gaps = dict.fromkeys(_CONSTRAINT)
    return Dataset.from_list(
        [row | {"constraints": [gaps | one for one in row["constraints"]]} for row in rows], features=_FEATURES
    )
