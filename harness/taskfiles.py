"""Finding task YAMLs and their lines. lm-eval gives no line numbers and skips broken YAML in silence, so we parse, too."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.errors import UserError, one_line, unknown
from harness.keys import code_digest
from harness.yamlfile import broken


class _Loader(yaml.SafeLoader):
    """Reads ``!function module.name`` as plain text: nothing is imported."""


_Loader.add_constructor("!function", lambda loader, node: f"!function {node.value}")


@dataclass(frozen=True)
class TaskFile:
    """A task's YAML with its includes merged (nothing imported, nothing run), and where each part stands."""

    path: Path
    config: dict[str, Any]
    chain: tuple[Path, ...]
    """the file itself, then what it includes"""

    def where(self, *keys: str | int) -> str:
        """``file:line`` of a key by its path (``"metadata", "tunebench"``), in the file of the chain that has it."""
        for depth in range(len(keys), 0, -1):  # of what does not stand there, the nearest thing above it
            for path in self.chain:
                line = _line(path, *keys[:depth])
                if line:
                    return f"{path}:{line}"
        return f"{self.path}:1"

    def fingerprint(self) -> str:
        """A hash over the bytes of all files in the folders that the task is made of."""
        folders = {path.parent for path in self.chain}
        files = [
            p for folder in sorted(folders) for p in sorted(folder.rglob("*")) if p.is_file() and "__pycache__" not in p.parts
        ]
        return code_digest(files)

    def code(self) -> str:
        """A hash over the Python files of the task: its scoring and data functions."""
        folders = {path.parent for path in self.chain}
        return code_digest(p for folder in folders for p in folder.glob("*.py"))


def _line(path: Path, *keys: str | int) -> int:
    """The line (from 1) of a nested key (a number is a place in a list); 0 where the file does not have it."""
    node: Any = yaml.compose(path.read_text(encoding="utf-8"), Loader=_Loader)
    line = 0
    for key in keys:
        if isinstance(key, int):
            if not isinstance(node, yaml.SequenceNode) or key >= len(node.value):
                return 0
            node = node.value[key]
            line = node.start_mark.line + 1
            continue
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        found = next(((k, v) for k, v in pairs if k.value == key), None)
        if found is None:
            return 0
        line, node = found[0].start_mark.line + 1, found[1]
    return line


def _read(path: Path) -> dict[str, Any]:
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        raise broken(path, error) from error
    except (OSError, ValueError, RecursionError) as error:  # a date of the 45th, a thousand brackets
        raise UserError(f"{path}:1: cannot be read: {one_line(error)}: mend it, or quote the value") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}:1: expected a mapping (key: value), found {type(value).__name__}")
    return value


def read_task_file(path: Path, seen: tuple[Path, ...] = ()) -> TaskFile:
    """A YAML with its ``include`` chain merged as lm-eval merges it: the file's own keys win."""
    path = path.resolve()
    if path in seen:
        raise UserError(f"{path}:{_line(path, 'include')}: include goes in a circle")
    own = _read(path)
    chain = [path]
    merged: dict[str, Any] = {}
    includes = own.pop("include", [])
    for item in includes if isinstance(includes, list) else [includes]:
        target = path.parent / str(item)
        if not target.is_file():
            raise UserError(f"{path}:{_line(path, 'include')}: include '{item}' does not exist")
        included = read_task_file(target, (*seen, path))
        merged.update(included.config)
        chain.extend(included.chain)
    merged.update(own)
    return TaskFile(path, merged, tuple(chain))


def iter_task_files(folders: Iterable[Path]) -> Iterable[tuple[Path, str | None, UserError | None]]:
    """(path, task name, error) of every YAML below `folders`; groups and partial files have no name."""
    for folder in folders:
        for path in sorted(folder.rglob("*.yaml")):
            try:
                config = read_task_file(path).config
            except UserError as error:
                yield path, None, error
                continue
            name = config.get("task")
            yield path, name if isinstance(name, str) else None, None


def find_task_file(name: str, folders: Sequence[Path]) -> TaskFile | None:
    """The first YAML below `folders` that defines `name`. A broken file that would define it is an error, not a gap."""
    broken: list[tuple[Path, UserError]] = []
    for path, found, error in iter_task_files(folders):
        if found == name:
            return read_task_file(path)
        if error is not None:
            broken.append((path, error))
    for path, error in broken:
        if name in path.stem or f"task: {name}" in path.read_text(encoding="utf-8", errors="replace"):
            raise error
    return None


@functools.cache
def find_in_catalogue(name: str) -> TaskFile | None:
    """The YAML of lm-eval's own catalogue that defines `name`; None where no file says so (a task written in Python, say).
    Only files that hold the name's line are parsed: there are thousands."""
    home = catalogue_folder()
    pattern = re.compile(rf"""^["']?task["']?\s*:\s*["']?{re.escape(name)}["']?\s*(#.*)?$""".encode(), re.MULTILINE)
    for folder, _, files in os.walk(home):
        for each in files:
            path = Path(folder, each)
            if path.suffix == ".yaml" and pattern.search(path.read_bytes()):
                return read_task_file(path)
    return None


def catalogue_folder() -> Path:
    """Where lm-eval's own tasks are, without importing it."""
    spec = importlib.util.find_spec("lm_eval")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0], "tasks")


def task_names(folders: Iterable[Path]) -> list[str]:
    return sorted({name for _, name, _ in iter_task_files(folders) if name})


def unknown_task(name: str, folders: Sequence[Path], catalogue: Iterable[str] = ()) -> UserError:
    return unknown("task", name, [*task_names(folders), *catalogue], mend="(tunebench tasks lists them)")
