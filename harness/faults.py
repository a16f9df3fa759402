"""What a check of a task finds, and where: lines of faults and remarks, and the file and line of a document's row."""

from __future__ import annotations

import functools
import json
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.taskfiles import TaskFile

_ROWS = (".jsonl", ".json", ".csv", ".tsv")
_KEYS = {"train": "training_split", "validation": "validation_split", "test": "test_split"}
#: larger files are not searched
_MOST_BYTES = 50_000_000
#: faults of one kind that are told one by one; the rest is counted
_TOLD = 3


@dataclass
class Findings:
    """What a check found: faults (to be mended) and remarks (to be known), as lines."""

    faults: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    counts: str = ""

    def fault(self, where: str, said: str) -> None:
        self.faults.append(f"{where}: {said}")

    def several(self, found: Sequence[tuple[str, str]]) -> None:
        """Faults of one kind: the first ones by themselves, then how many more there are."""
        for where, said in found[:_TOLD]:
            self.fault(where, said)
        if len(found) > _TOLD:
            self.faults[-1] += f" (and {len(found) - _TOLD} more like this)"


class DocFinder:
    """Finds rows of a task's documents in the text files beside its YAML."""

    def __init__(self, file: TaskFile) -> None:
        self.file = file

    def key(self, *names: str) -> str:
        """``file:line`` of a key of the task's YAML."""
        return self.file.where(*names)

    def split(self, split: str) -> str:
        """``file:line`` where the YAML names a split (test falls back to validation, a missing validation to training)."""
        keys = [_KEYS[split], "validation_split", "training_split"]
        return self.file.where(next((key for key in keys if self.file.config.get(key)), "task"))

    def place(self, split: str, number: int, doc: Mapping[str, Any]) -> str:
        """``file:line`` of a document's row: by its number in JSON lines of its split's name, else wherever its longest text
        stands, that split's file first; else where the YAML names the split."""
        longest = max((value for value in doc.values() if isinstance(value, str)), key=len, default="")
        forms = {longest, json.dumps(longest, ensure_ascii=False)[1:-1], json.dumps(longest)[1:-1], longest.replace('"', '""')}
        files = sorted(self._files.items(), key=lambda item: item[0].stem != split)
        for path, lines in files:
            if path.stem == split and path.suffix == ".jsonl" and number < len(lines) and any(f in lines[number] for f in forms):
                return f"{path}:{number + 1}"
        for path, lines in files:
            for line, text in enumerate(lines, start=1):
                if longest and any(form in text for form in forms):
                    return f"{path}:{line}"
        return self.split(split)

    @functools.cached_property
    def _files(self) -> dict[Path, list[str]]:
        found = {}
        for path in sorted(self.file.path.parent.iterdir()):
            if path.suffix in _ROWS and path.is_file() and path.stat().st_size <= _MOST_BYTES:
                found[path] = path.read_text(encoding="utf-8", errors="replace").split("\n")
        return found


def own_line(file: TaskFile | None, error: BaseException | None) -> str:
    """``file:line`` of the task's own code that an error passed last; empty where it passed none."""
    if file is None or error is None:
        return ""
    folders = {path.parent for path in file.chain}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).parent in folders]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
