"""The matrix: a YAML file (and flags) in, cells out. A cell is task x method x model x budget x seed, a plain value."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.budget import Budget
from harness.errors import UserError, one_line, unknown
from harness.keys import digest
from harness.yamlfile import LinedDict, name_lines, read_yaml

DEFAULT_MODEL = "smollm2-135m-instruct"
_TOP_KEYS = {"description", "tasks", "methods", "models", "budget", "seeds", "usd_per_hour"}
_TASK_KEYS = {"name", "budget", "test_limit", "max_new_tokens", "data", "settings", "methods", "seeds"}
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
    data: tuple[tuple[str, str | int], ...] = ()
    """keywords for the task's data source: which training set, how much of it"""
    max_new_tokens: int | None = None
    """the longest answer, where it is not the task's own limit"""

    @property
    def spec(self) -> dict[str, Any]:
        """What was asked for, without versions or hardware."""
        extra: dict[str, Any] = {"data": dict(self.data)} if self.data else {}
        extra |= {"max_new_tokens": self.max_new_tokens} if self.max_new_tokens is not None else {}
        return extra | {
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
        task = "-".join([Path(self.task).stem, *(str(value) for _, value in self.data)])
        words = f"{task}-{self.label or Path(self.method).stem}-s{self.seed}"
        return re.sub(r"[^A-Za-z0-9._-]+", "_", words)[:80] + f"-{self.spec_key[:8]}"

    @property
    def variant(self) -> str:
        """The task's name, with what its data source is told."""
        return variant(self.task, dict(self.data))

    def __str__(self) -> str:
        return f"{self.variant} · {self.label or self.method} · {self.budget} · seed {self.seed}"


def variant(task: str, data: Mapping[str, Any]) -> str:
    """A task's name with what its data source is told: ``instruction_following (careless, 50)``."""
    return f"{task} ({', '.join(map(str, data.values()))})" if data else task


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


def _as_list(value: Any, key: str, where: str) -> list:
    if value is None or value == []:
        raise UserError(f"{where}: '{key}' is empty; name at least one")
    return value if isinstance(value, list) else [value]


class _Reader:
    """Turns a mapping into checked parts, each complaint with its place."""

    def __init__(self, raw: dict, source: str) -> None:
        self.raw, self.source = raw, source

    def where(self, key: str, mapping: Any = None) -> str:
        """``file:line`` of a key (of an entry's first line, where the entry does not have it)."""
        mapping = self.raw if mapping is None else mapping
        if not isinstance(mapping, LinedDict):
            return self.source or "the command line"
        known = mapping.line if mapping is not self.raw else None
        line = mapping.lines.get(key, known)
        return f"{self.source}:{line}" if line else self.source

    def entries(self, key: str, keys: set[str], chosen: list[str] | None) -> list[dict]:
        """The entries of `tasks` or `methods`, as mappings; of those that a flag names (or a method's label), all that the file
        says."""
        stated = _as_list(self.raw.get(key), key, self.where(key)) if chosen is None or self.raw.get(key) else []
        found = [self._entry(item, keys, key) for item in stated]
        if chosen is None:
            return found
        if not chosen:
            raise UserError(f"--{key} names nothing: give one name, or several with commas between")
        meant = {name: [entry for entry in found if name in (entry["name"], entry.get("label"))] for name in chosen}
        return [entry for name in chosen for entry in meant[name] or [{"name": name}]]

    def _entry(self, item: Any, keys: set[str], key: str) -> dict:
        if isinstance(item, str):
            return {"name": item}
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            said = one_line(repr(item), 60)
            raise UserError(f"{self.where(key)}: each of '{key}' must be a name or a mapping with a 'name', not {said}")
        for extra in item.keys() - keys:
            raise UserError(f"{self.where(extra, item)}: {unknown(f'key under {key}', str(extra), keys)}")
        return item

    def budgets(self, value: Any, where: str) -> list[Budget]:
        values = _as_list(value, "budget", where)
        try:
            return [Budget.parse(item) for item in values]
        except UserError as error:
            raise UserError(f"{where}: {error}") from error

    def seeds(self, flag: list[int] | None, task: dict) -> list[int]:
        own = task if "seeds" in task else self.raw
        where = self.where("seeds", own) if flag is None else "--seeds"
        seeds = _as_list(own.get("seeds", [0]) if flag is None else flag, "seeds", where)
        for seed in seeds:
            if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
                raise UserError(f"{where}: seed {one_line(repr(seed), 40)} must be a whole number from 0 to 2147483647")
        return seeds

    def models(self) -> list[str]:
        models = _as_list(self.raw.get("models", [DEFAULT_MODEL]), "models", self.where("models"))
        for model in models:
            if not isinstance(model, str):
                raise UserError(
                    f"{self.where('models')}: a model is a name, a Hub id or a folder, not {one_line(repr(model), 40)}"
                )
        return models

    def usd_per_hour(self) -> float:
        value = self.raw.get("usd_per_hour", 0.0)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
            raise UserError(f"{self.where('usd_per_hour')}: usd_per_hour must be a number of dollars, zero or more")
        return float(value)

    def settings(self, method: dict, task: dict) -> tuple[tuple[str, Any], ...]:
        """A method's settings: what the task says of it, and on top what the method's own entry says."""
        by_method = task.get("settings") or {}
        own = self._checked(method.get("settings") or {}, method, self.where("name", method))
        return tuple(
            sorted({**self._checked(by_method.get(method["name"]) or {}, method, self.where("settings", task)), **own}.items())
        )

    def _checked(self, settings: Any, method: dict, where: str) -> dict[str, Any]:
        if not isinstance(settings, dict) or not all(isinstance(key, str) for key in settings):
            raise UserError(f"{where}: settings of '{method['name']}' must be a mapping of names to values")
        for key, value in settings.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise UserError(f"{self.where(key, settings)}: setting '{key}' must be a finite number, not {value}")
        return {key: _frozen(value) for key, value in settings.items()}

    def whole(self, key: str, task: dict, flag: int | None = None) -> int | None:
        """A task's `test_limit` or `max_new_tokens`."""
        value = task.get(key) if flag is None else flag
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            where = self.where(key, task) if flag is None else f"--{key.replace('_', '-')}"
            raise UserError(f"{where}: {key} must be a whole number above zero, not {one_line(repr(value), 40)}")
        return value

    def data(self, task: dict) -> list[tuple[tuple[str, str | int], ...]]:
        """Every combination of what a task's data source is told; one without a word where the matrix says nothing."""
        stated = task.get("data") or {}
        if not isinstance(stated, dict) or not all(isinstance(key, str) for key in stated):
            raise UserError(f"{self.where('data', task)}: data of a task must map options of its data source to values")
        choices = []
        for key, value in stated.items():
            values = _as_list(value, key, self.where(key, stated))
            for one in values:
                if isinstance(one, bool) or not isinstance(one, (str, int)):
                    raise UserError(
                        f"{self.where(key, stated)}: {key} must be words or whole numbers, not {one_line(repr(one), 40)}"
                    )
            choices.append([(key, one) for one in values])
        return [tuple(sorted(chosen)) for chosen in itertools.product(*choices)]  # in whatever order they are said

    def uses(self, task: dict, method: dict, known: set[str]) -> bool:
        """Whether a task runs a method: all do that its own `methods` (names or labels) do not leave out."""
        if "methods" not in task:
            return True
        chosen = _as_list(task["methods"], "methods", self.where("methods", task))
        for name in chosen:
            if not isinstance(name, str):
                said = one_line(repr(name), 60)
                raise UserError(f"{self.where('methods', task)}: a task's methods are names or labels, not {said}")
            if name not in known:
                raise UserError(f"{self.where('methods', task)}: {unknown('method', str(name), known)}")
        return method["name"] in chosen or method.get("label") in chosen


def _frozen(value: Any) -> Any:
    """A value that can be hashed: lists as tuples, mappings as pairs."""
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    return tuple(sorted((k, _frozen(v)) for k, v in value.items())) if isinstance(value, dict) else value


def build_matrix(raw: dict, source: str = "", lines: dict[str, int] | None = None, flags: dict | None = None) -> Matrix:
    """Cells from a mapping with the keys ``tasks, methods, models, budget, seeds, usd_per_hour, description``.

    A task may carry its own `budget` (one, or a list for a curve), `test_limit`, `max_new_tokens`, `settings` (by method, found
    on that task's validation data), `data` (options of its data source; lists span a product), `methods` (those that it
    runs) and `seeds`; a method `settings` and a `label`. `flags` replace whole keys; a task or method that they name keeps what
    the mapping says of it.
    """
    flags = {key: value for key, value in (flags or {}).items() if value is not None}
    for key in raw.keys() - _TOP_KEYS:
        raise UserError(f"{_Reader(raw, source).where(key)}: {unknown('key', str(key), _TOP_KEYS)}")
    reader = _Reader(raw, source)
    usd_per_hour = reader.usd_per_hour()
    tasks = reader.entries("tasks", _TASK_KEYS, flags.get("tasks"))
    methods = reader.entries("methods", _METHOD_KEYS, flags.get("methods"))
    listed = reader.entries("methods", _METHOD_KEYS, None) if raw.get("methods") else []
    stated = {entry["name"] for entry in [*methods, *listed]}
    labelled = stated | {entry["label"] for entry in [*methods, *listed] if isinstance(entry.get("label"), str)}
    for task in tasks:
        by_method = task.get("settings") or {}
        if not isinstance(by_method, dict):
            raise UserError(f"{reader.where('settings', task)}: settings of a task must map methods to their settings")
        for name in by_method:
            if name not in stated:
                raise UserError(f"{reader.where('settings', task)}: settings for an {unknown('method', str(name), stated)}")
    models = flags.get("models") or reader.models()
    cells = []
    configured = [(task, data) for task in tasks for data in reader.data(task)]
    for (task, data), model, method in itertools.product(configured, models, methods):
        if not reader.uses(task, method, labelled):
            continue
        if "budget" in flags:
            budgets, where = reader.budgets(flags["budget"], "--budget"), "--budget"
        else:
            own = task if "budget" in task else None
            where = reader.where("budget", own)
            budgets = reader.budgets((own or raw).get("budget", None if "budget" in raw else "5e12flops"), where)
        for budget, seed in itertools.product(budgets, reader.seeds(flags.get("seeds"), task)):
            if budget.unit == "usd" and not usd_per_hour:
                mend = "add usd_per_hour (what an hour of this machine costs you) to the matrix"
                raise UserError(f"{where}: budget {budget} needs a price for local work; {mend}")
            cells.append(
                Cell(
                    task=task["name"],
                    method=method["name"],
                    model=model,
                    budget=budget,
                    seed=seed,
                    settings=reader.settings(method, task),
                    label=str(method.get("label") or ""),
                    test_limit=reader.whole("test_limit", task, flags.get("test_limit")),
                    data=data,
                    max_new_tokens=reader.whole("max_new_tokens", task),
                )
            )
    if not cells:
        raise UserError(f"{source or 'the command line'}: no task runs any of these methods: {', '.join(sorted(stated))}")
    unique = tuple(dict.fromkeys(cells))
    as_written = not {"tasks", "methods"} & flags.keys()  # what a file says of itself holds for its own tasks and methods
    return Matrix(unique, usd_per_hour, source, str(raw.get("description") or "") if as_written else "", lines or {})


def read_matrix(path: Path, overrides: dict | None = None) -> Matrix:
    """A matrix from a YAML file, flags on top."""
    return build_matrix(read_yaml(path), str(path), name_lines(path), overrides)


def on_split(matrix: Matrix, split: str) -> Matrix:
    """The same cells, evaluated on another split (``validation``: how settings are chosen)."""
    return replace(matrix, cells=tuple(replace(cell, split=split) for cell in matrix.cells))
