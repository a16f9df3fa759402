"""What a run asked for and what it gave, joined: RESULTS/run.json and the records become entries."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import one_line
from harness.record import DamagedRecord, Record, read_results


@dataclass(frozen=True)
class Run:
    """RESULTS/run.json; empty where the file is absent."""

    command: str = ""
    started: str = ""
    finished: str = ""
    description: str = ""
    notes: tuple[str, ...] = ()
    cells: tuple[dict[str, Any], ...] = ()
    """what was asked for, in display order: id, task, method, label, model, budget, seed"""
    fault: str = ""
    """why run.json could not be read"""


@dataclass(frozen=True)
class Entry:
    """One cell: a record, a damaged record, or a cell that was asked for and has none."""

    id: str
    task: str
    method: str
    label: str
    """empty where neither the record nor run.json has one"""
    model: str = ""
    budget: str = ""
    seed: int | None = None
    split: str = "test"
    test_limit: int | None = None
    data: dict[str, Any] = field(default_factory=dict)
    """what the task's data source was told"""
    max_new_tokens: int | None = None
    status: str = "missing"
    """a record's status, or ``damaged`` or ``missing``"""
    reason: str = ""
    asked: bool = True
    """whether the latest run asked for it (True where there is no run.json)"""
    settings: dict[str, Any] = field(default_factory=dict)
    record: Record | None = None
    folder: Path | None = None

    @property
    def group_key(self) -> tuple[object, ...]:
        data = json.dumps(self.data, sort_keys=True, default=str)
        return (self.task, self.model, self.budget, self.split, self.test_limit, data, self.max_new_tokens)


def read_run(results: Path) -> Run:
    """RESULTS/run.json, tolerantly: what is absent or of the wrong type is left out, and a broken file is told in `fault`."""
    try:
        raw = json.loads((results / "run.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Run()
    except (OSError, ValueError) as error:
        return Run(fault=f"run.json could not be read ({one_line(error, 120)}); cells without a record cannot be named")
    if not isinstance(raw, dict):
        return Run(fault="run.json does not hold a mapping; cells without a record cannot be named")

    def words(key: str) -> str:
        return raw[key] if isinstance(raw.get(key), str) else ""

    def items(key: str) -> list:
        return raw[key] if isinstance(raw.get(key), list) else []

    return Run(
        command=words("command"),
        started=words("started"),
        finished=words("finished"),
        description=words("description"),
        notes=tuple(note for note in items("notes") if isinstance(note, str)),
        cells=tuple(cell for cell in items("cells") if isinstance(cell, dict)),
    )


def _from_record(folder: Path, record: Record, asked: bool, label: str = "") -> Entry:
    cell = record.cell
    return Entry(
        id=folder.name,
        task=cell.task,
        method=cell.method,
        label=record.label or label,
        model=cell.model,
        budget=cell.budget,
        seed=cell.seed,
        split=cell.split,
        test_limit=cell.test_limit,
        data=dict(cell.data),
        max_new_tokens=cell.max_new_tokens,
        status=record.status,
        reason=record.reason,
        asked=asked,
        settings=cell.settings,
        record=record,
        folder=folder,
    )


def _from_asked(cell: dict[str, Any], status: str, reason: str) -> Entry:
    def words(key: str, default: str = "") -> str:
        return str(cell[key]) if cell.get(key) not in (None, "") else default

    method = words("method", "unnamed method")
    limit, seed, longest = cell.get("test_limit"), cell.get("seed"), cell.get("max_new_tokens")
    return Entry(
        id=words("id"),
        task=words("task", "unnamed task"),
        method=method,
        label=words("label"),
        model=words("model"),
        budget=words("budget"),
        seed=seed if isinstance(seed, int) else None,
        split=words("split", "test"),
        test_limit=limit if isinstance(limit, int) else None,
        data=cell["data"] if isinstance(cell.get("data"), dict) else {},
        max_new_tokens=longest if isinstance(longest, int) else None,
        settings=cell["settings"] if isinstance(cell.get("settings"), dict) else {},
        status=status,
        reason=reason,
    )


def read_entries(results: Path, run: Run) -> tuple[list[Entry], list[tuple[str, str]]]:
    """Every cell in display order, and (folder, reason) of damaged records that nobody asked for by that name."""
    found = {folder.name: (folder, record) for folder, record in read_results(results)}
    entries, strays = [], []
    for cell in run.cells:
        folder, record = found.pop(str(cell.get("id")), (None, None))
        if isinstance(record, Record) and folder is not None:
            entries.append(_from_record(folder, record, asked=True, label=str(cell.get("label") or "")))
        elif isinstance(record, DamagedRecord):
            entries.append(_from_asked(cell, "damaged", str(record).replace(f"{results}/", "")))
        else:
            entries.append(_from_asked(cell, "missing", "the run asked for it and there is no record of it"))
    for name, (folder, record) in found.items():
        if isinstance(record, Record):
            entries.append(_from_record(folder, record, asked=not run.cells))
        else:
            strays.append((name, str(record).replace(f"{results}/", "")))
    return entries, strays
