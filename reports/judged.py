"""What a judge said (RESULTS/judge/*.json), beside how often it agrees with the task's own preference pairs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from harness.record import Record, read_results
from reports import wording
from reports.markup import bullets, safe, table


def _share(side: Any) -> str:
    found = side.get("first_wins") if isinstance(side, Mapping) else None
    if not isinstance(found, Mapping) or not isinstance(found.get("value"), (int, float)):
        return wording.NONE
    return wording.with_interval(found["value"], found.get("low"), found.get("high"))


def _count(side: Any, name: str) -> str:
    value = side.get(name) if isinstance(side, Mapping) else None
    return wording.count(value) if isinstance(value, int) else wording.NONE


def _current(results: Path, cells: Mapping[str, str]) -> bool:
    """Whether the answers that were judged are those that stand in the results now."""
    now = {folder.name: record.samples_sha256 for folder, record in read_results(results) if isinstance(record, Record)}
    return all(now.get(name) == sha for name, sha in cells.items())


def section(results: Path) -> list[str]:
    """The markdown of all judgements in a results folder; empty where nothing was judged."""
    lines, faults = [], []
    for path in sorted(path for path in (results / "judge").glob("*.json") if path.is_file()):
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            verdict, agreement = said["verdict"], said.get("agreement")
            earlier = "" if _current(results, said["cells"]) else " (of earlier answers)"
            lines.append(
                {
                    "task": safe(said["task"]),
                    "judge": safe(said["judge"]),
                    "first": safe(said["first"], 80) + earlier,
                    "second": safe(said["second"], 80),
                    "seed": safe(said["seed"]),
                    "first preferred (95 % interval)": _share(verdict),
                    "won / tied / lost": " / ".join(_count(verdict, name) for name in ("won", "tied", "lost")),
                    "same place twice": _count(verdict, "same_place_twice"),
                    "unreadable": _count(verdict, "unreadable"),
                    "agrees with the preference pairs": _share(agreement),
                }
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            faults.append(f"{safe(path.name)} cannot be read as a judgement.")
    if not lines and not faults:
        return []
    parts = ["## Judged by a model", table(pd.DataFrame(lines)) if lines else "", _SAID]
    return [part for part in [*parts, bullets(faults)] if part]


_SAID = (
    "A chat model was asked which of two answers it prefers, in both orders; an answer won only where both orders agree, and a "
    "tie counts half; pairs with an unreadable reply are left out. “Same place twice” counts pairs where it chose a place rather "
    "than an answer. The last column is how often it prefers the chosen answer of the task's own preference pairs: near 0.5 the "
    "judge's opinion is worth nothing here."
)
