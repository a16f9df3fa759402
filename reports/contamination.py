"""What a run found of test documents in its training sets (RESULTS/contamination.json), as a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from reports.groups import Group
from reports.markup import bullets, listing, safe, table
from reports.wording import NONE


def section(results: Path, groups: Iterable[Group]) -> list[str]:
    """The markdown for the training and test sets that the records were made with; empty where nothing was compared."""
    path = results / "contamination.json"
    if not path.is_file():
        return []
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        run, pairs = int(stored["run"]), _pairs(stored["pairs"], list(groups))
        lines, seen = _table(pairs), _seen(pairs)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ["## Seen in training?", f"{path.name} cannot be read; the next run compares again."]
    if not lines:
        return []
    said = (
        f"How many test documents share a run of {run} words with any document of a training set (case and signs do not count; "
        f"one of fewer words counts where it is the same as a whole training document). What a model learnt before it came here "
        "is not part of this."
    )
    return ["## Seen in training?", table(pd.DataFrame(lines)), said, *([bullets(seen)] if seen else [])]


def _pairs(stored: Mapping[str, Any], groups: list[Group]) -> list[Mapping[str, Any]]:
    """The pairs whose two sets belong to a record of the folder, in the order of the report."""
    said = [record.provenance["task"] for group in groups for record in group.records if record.provenance.get("task")]
    trains = dict.fromkeys(one.get("train") for one in said)
    tests = dict.fromkeys(one.get("requests") for one in said)
    return [stored[f"{train}-{test}"] for train in trains for test in tests if f"{train}-{test}" in stored]


def _table(pairs: list[Mapping[str, Any]]) -> list[dict[str, str]]:
    """A line a training set (those with the same counts together), a column a test set."""
    columns = dict.fromkeys(_test(pair) for pair in pairs)
    rows: dict[tuple[str, int], dict[str, str]] = {}
    for pair in pairs:
        row = rows.setdefault((str(pair["train"]), int(pair["train_documents"])), {})
        same = f", {int(pair['identical'])} the same" if pair["identical"] else ""
        row[_test(pair)] = f"{int(pair['sharing'])} of {int(pair['test_documents'])}{same}"
    return [
        {"training set": f"{safe(name)}, {size} documents", **{f"test: {test}": row.get(test, NONE) for test in columns}}
        for (name, size), row in rows.items()
    ]


def _test(pair: Mapping[str, Any]) -> str:
    return safe(pair["test"]) + ("" if pair["split"] == "test" else f" ({safe(pair['split'])})")


def _seen(pairs: list[Mapping[str, Any]]) -> list[str]:
    """Which documents, where there are any; of training sets that share the same ones, once."""
    found: dict[tuple[str, str], list[str]] = {}
    for pair in pairs:
        if pair["sharing"]:
            more = ", …" if pair["sharing"] > len(pair["documents"]) else ""
            numbers = ", ".join(safe(number) for number in pair["documents"]) + more
            found.setdefault((_test(pair), numbers), []).append(safe(pair["train"]))
    return [
        f"**{test}**: documents {numbers} share words with the training set of {listing(names)}."
        for (test, numbers), names in found.items()
    ]
