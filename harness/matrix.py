"""The matrix: a YAML file (and flags) in, cells out. A cell is task x method x model x budget x seed, a plain value."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from harness.budget import Budget
from harness.errors import UserError, one_line, unknown
from harness.keys import digest

DEFAULT_MODEL = "smollm2-135m-instruct"
_TOP_KEYS = {"description", "tasks", "methods", "models", "budget", "seeds", "usd_per_hour"}
_TASK_KEYS = {"name", "budget", "test_limit"}
_METHOD_KEYS = {"name", "label", "settings"}


@dataclass(frozen=True)
class Cell:
    """One combination. `settings` are (name, value) pairs so that a cell can be hashed and pickled."""

    task: str
    method: str
    model: str
    budget: Budget
    seed: int
    settings: tuple[tuple[str, Any], ...] = ()
    label: str = ""
    test_limit: int | None = None
    split: str = "test"

    @property
    def spec(self) -> dict[str, Any]:
        """What was asked for, without versions or hardware."""
        return {
            "task": self.task,
            "method": self.method,
            "model": self.model,
            "budget": str(self.budget),
            "seed": self.seed,
            "settings": dict(self.settings),
            "split": self.split,
            "test_limit": self.test_limit,
        }

    @property
    def spec_key(self) -> str:
        return digest(self.spec)

    @property
    def id(self) -> str:
        """The name of the cell's folder: readable, and unique through the spec key's first digits."""
        words = f"{Path(self.task).stem}-{self.label or Path(self.method).stem}-s{self.seed}"
        return re.sub(r"[^A-Za-z0-9._-]+", "_", words)[:80] + f"-{self.spec_key[:8]}"

    def __str__(self) -> str:
        return f"{self.task} · {self.label or self.method} · {self.budget} · seed {self.seed}"


@dataclass(frozen=True)
class Matrix:
    """A list of cells with what they share."""

    cells: tuple[Cell, ...]
    usd_per_hour: float = 0.0
    source: str = ""
    description: str = ""
    lines: dict[str, int] = field(default_factory=dict, compare=False)

    def where(self, name: str) -> str:
        """``file:line`` of a task or method named in the YAML, or how it was given."""
        return f"{self.source}:{self.lines[name]}" if name in self.lines else "the command line"


class _Lined(yaml.SafeLoader):
    """A safe loader that refuses duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: Path) -> dict:
    """A YAML mapping from a file; what is broken is said with file and line."""
    try:
        text = path.read_text(encoding="utf-8")
        value = yaml.load(text, Loader=_Lined)  # noqa: S506 (a SafeLoader)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {one_line(error)}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{path}:{line}: broken YAML: {one_line(error.problem or error)}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}:1: broken YAML: {one_line(error)}") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}:1: expected a mapping (key: value), found {type(value).__name__}")
    return value


def key_lines(path: Path) -> dict[str, int]:
    """The line (from 1) of every scalar in a YAML file, first occurrence."""
    found: dict[str, int] = {}
    node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)

    def walk(node: yaml.Node) -> None:
        if isinstance(node, yaml.ScalarNode):
            found.setdefault(str(node.value), node.start_mark.line + 1)
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                walk(key)
                walk(value)
        elif isinstance(node, yaml.SequenceNode):
            for item in node.value:
                walk(item)

    if node is not None:
        walk(node)
    return found


def _as_list(value: Any, key: str, where: str) -> list:
    if value is None or value == []:
        raise UserError(f"{where}: '{key}' is empty; name at least one")
    return value if isinstance(value, list) else [value]


def _entry(item: Any, keys: set[str], key: str, where: str) -> dict:
    """A list entry, given as a name or as a mapping with a name."""
    if isinstance(item, str):
        return {"name": item}
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        raise UserError(f"{where}: each of '{key}' must be a name or a mapping with a 'name', not {one_line(repr(item), 60)}")
    for extra in item.keys() - keys:
        raise UserError(f"{where}: {unknown(f'key under {key}', str(extra), keys)}")
    return item


def _budgets(value: Any, where: str) -> list[Budget]:
    try:
        return [Budget.parse(item) for item in _as_list(value, "budget", where)]
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _seeds(value: Any, where: str) -> list[int]:
    seeds = _as_list(value, "seeds", where)
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
            raise UserError(f"{where}: seed {seed!r} must be a whole number from 0 to 2147483647")
    return seeds


def build_matrix(raw: dict, source: str = "", lines: dict[str, int] | None = None) -> Matrix:
    """Cells from a mapping with the keys ``tasks, methods, models, budget, seeds, usd_per_hour, description``.

    A task may carry its own `budget` (one, or a list for a curve) and `test_limit`; a method `settings` and a `label`.
    """
    lines = lines or {}
    origin = source or "the command line"

    def where(key: str) -> str:
        return f"{source}:{lines[key]}" if source and key in lines else origin

    for key in raw.keys() - _TOP_KEYS:
        raise UserError(f"{where(str(key))}: {unknown('key', str(key), _TOP_KEYS)}")
    usd_per_hour = raw.get("usd_per_hour", 0.0)
    if isinstance(usd_per_hour, bool) or not isinstance(usd_per_hour, (int, float)) or usd_per_hour < 0:
        raise UserError(f"{where('usd_per_hour')}: usd_per_hour must be a number of dollars, zero or more")
    tasks = [_entry(t, _TASK_KEYS, "tasks", where("tasks")) for t in _as_list(raw.get("tasks"), "tasks", where("tasks"))]
    methods = [
        _entry(m, _METHOD_KEYS, "methods", where("methods")) for m in _as_list(raw.get("methods"), "methods", where("methods"))
    ]
    models = _as_list(raw.get("models", [DEFAULT_MODEL]), "models", where("models"))
    seeds = _seeds(raw.get("seeds", [0]), where("seeds"))
    cells = []
    for task, model, method in itertools.product(tasks, models, methods):
        if not isinstance(model, str):
            raise UserError(f"{where('models')}: a model is a name, a Hub id or a folder, not {model!r}")
        settings = method.get("settings") or {}
        if not isinstance(settings, dict) or not all(isinstance(key, str) for key in settings):
            raise UserError(f"{where(method['name'])}: settings of '{method['name']}' must be a mapping of names to values")
        limit = task.get("test_limit")
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise UserError(f"{where(task['name'])}: test_limit must be a whole number above zero, not {limit!r}")
        budgets = _budgets(task.get("budget", raw.get("budget", "5e12flops")), where("budget"))
        for budget, seed in itertools.product(budgets, seeds):
            if budget.unit == "usd" and not usd_per_hour:
                mend = "add usd_per_hour (what an hour of this machine costs you) to the matrix"
                raise UserError(f"{where('budget')}: budget {budget} needs a price for local work; {mend}")
            cells.append(
                Cell(
                    task=task["name"],
                    method=method["name"],
                    model=model,
                    budget=budget,
                    seed=seed,
                    settings=tuple(sorted(settings.items())),
                    label=str(method.get("label", "")),
                    test_limit=limit,
                )
            )
    unique = tuple(dict.fromkeys(cells))
    return Matrix(unique, float(usd_per_hour), source, str(raw.get("description", "")), lines)


def read_matrix(path: Path, overrides: dict | None = None) -> Matrix:
    """A matrix from a YAML file, flags on top. `overrides` replaces whole keys (``tasks``, ``methods``, ...)."""
    raw = read_yaml(path)
    overrides = {key: value for key, value in (overrides or {}).items() if value is not None}
    if "tasks" in overrides:  # a task named by a flag keeps what the file says of it
        stated = raw.get("tasks")
        named = {t["name"]: t for t in (stated if isinstance(stated, list) else []) if isinstance(t, dict) and "name" in t}
        overrides["tasks"] = [named.get(name, name) for name in overrides["tasks"]]
    if "methods" in overrides:
        stated = raw.get("methods")
        named = {m["name"]: m for m in (stated if isinstance(stated, list) else []) if isinstance(m, dict) and "name" in m}
        overrides["methods"] = [named.get(name, name) for name in overrides["methods"]]
    if "budget" in overrides:  # a budget by flag holds for every task
        strip = overrides.get("tasks", raw.get("tasks"))
        strip = strip if isinstance(strip, list) else [strip]
        overrides["tasks"] = [{k: v for k, v in t.items() if k != "budget"} if isinstance(t, dict) else t for t in strip]
    return build_matrix(raw | overrides, str(path), key_lines(path))


def on_split(matrix: Matrix, split: str) -> Matrix:
    """The same cells, evaluated on another split (``validation``: how settings are chosen)."""
    return replace(matrix, cells=tuple(replace(cell, split=split) for cell in matrix.cells))
