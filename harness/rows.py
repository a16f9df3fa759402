"""Rows of somebody's file (CSV, TSV or JSON lines), each with the line that it begins on."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.errors import UserError, one_line, unknown


def read_rows(path: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, Any]]]:
    """(line, row) of every row. `columns` must be there. Raises `UserError` with file and line."""
    if path.suffix.lower() not in (".csv", ".tsv", ".jsonl"):
        raise UserError(f"{path}: a task is made from .csv, .tsv or .jsonl (JSON lines), not from '{path.suffix}'")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist") from error
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise UserError(f"{path}:{line}: not UTF-8: save the file as UTF-8") from error
    rows = _json_lines(text, path) if path.suffix.lower() == ".jsonl" else _separated(text, path)
    if not rows:
        raise UserError(f"{path}:1: the file holds no rows: add some")
    known = dict.fromkeys(key for _, row in rows for key in row)
    for column in columns:
        if column not in known:
            raise UserError(f"{path}:1: {unknown('column', column, known)}")
    return rows


def read_splits(folder: Path) -> Any:
    """``train.jsonl``, ``validation.jsonl`` and ``test.jsonl`` of a folder as a ``DatasetDict``: what a task's `custom_dataset`
    returns. Raises `UserError` with file and line."""
    from datasets import Dataset, DatasetDict

    rows = {split: read_rows(folder / f"{split}.jsonl", []) for split in ("train", "validation", "test")}
    return DatasetDict({split: Dataset.from_list([row for _, row in some]) for split, some in rows.items()})


def _json_lines(text: str, path: Path) -> list[tuple[int, dict[str, Any]]]:
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            json.dumps(row, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise UserError(f"{path}:{number}: half a character (a lone surrogate): mend the text") from error
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}:{number}: not JSON: {one_line(error)}") from error
        if not isinstance(row, dict):
            raise UserError(f"{path}:{number}: a row is an object ({{...}}), not {type(row).__name__}")
        rows.append((number, row))
    return rows


def _separated(text: str, path: Path) -> list[tuple[int, dict[str, Any]]]:
    head = text.split("\n", 1)[0]
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ";" if head.count(";") > head.count(",") else ","
    csv.field_size_limit(10_000_000)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows, names = [], None
    start = 1
    try:
        for cells in reader:
            if names is None:
                names = [cell.strip() for cell in cells]
                if twice := next((name for name in names if names.count(name) > 1), None):
                    raise UserError(f"{path}:1: column '{twice}' stands twice: rename one")
            elif cells:
                if len(cells) != len(names):
                    said = f"{len(cells)} columns where the first line has {len(names)}"
                    raise UserError(f"{path}:{start}: {said}: quote texts that hold a '{delimiter}'")
                rows.append((start, dict(zip(names, cells, strict=True))))
            start = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{path}:{start}: {one_line(error)}") from error
    return rows
