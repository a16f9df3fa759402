"""The bundled prompts and answers, read from the files beside this one."""

import json
from collections.abc import Iterable
from pathlib import Path

from datasets import Dataset, DatasetDict, Features, Value

from tunebench import CONSTRAINT_ARGUMENTS, UserError, constraint_fault

_HERE = Path(__file__).resolve().parent
_COLUMNS = {list: [Value("string")], int: Value("int32"), str: Value("string")}
_CONSTRAINT = {"id": Value("string")} | {name: _COLUMNS[kind] for name, kind in CONSTRAINT_ARGUMENTS.items()}
_FEATURES = Features(
    {name: Value("string") for name in ("id", "prompt", "response", "domain", "form")} | {"constraints": [_CONSTRAINT]}
)
_PAIRS = Features({name: Value("string") for name in ("id", "prompt", "chosen", "rejected", "aspect", "reason", "domain")})


def _read(name: str) -> list[dict]:
    """The rows of a file; what a column's type would bend or drop is refused here, with the line."""
    path, rows = _HERE / f"{name}.jsonl", []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path}:{number}: not JSON: {error}") from error
        bounds = row.get("constraints", [])
        wrong = next(filter(None, map(constraint_fault, bounds)), None) if isinstance(bounds, list) else "constraints is a list"
        if wrong:
            raise UserError(f"{path}:{number}: {wrong}")
        rows.append(row)
    return rows


def _table(rows: Iterable[dict], features: Features) -> Dataset:
    rows = list(rows)
    for row in rows:
        row["constraints"] = [{name: one.get(name) for name in _CONSTRAINT} for one in row.get("constraints", [])]
    return Dataset.from_list([{name: row[name] for name in features} for row in rows], features=features)


def load(answers: str = "curated", size: int | None = None, **_: object) -> DatasetDict:
    """Splits train, validation and test (id, prompt, response, domain, form, constraints), preferences_train and
    preferences_test (id, prompt, chosen, rejected, aspect, reason, domain).

    `answers` says who answered the training prompts: `curated`, `careless` or `self` (the untuned model). `size` takes the
    first so many of them, so that a smaller set is part of a larger one.
    """
    train = _read("train")[:size]
    if answers != "curated":
        others = {row["id"]: row["response"] for row in _read(answers)}
        train = [row | {"response": others[row["id"]]} for row in train]
    splits = {"train": train, "validation": _read("validation"), "test": _read("test")}
    pairs = _read("preferences")
    return DatasetDict(
        {name: _table(rows, _FEATURES) for name, rows in splits.items()}
        | {f"preferences_{part}": _table((row for row in pairs if row["split"] == part), _PAIRS) for part in ("train", "test")}
    )
