"""From cells to jobs: everything checked before any model loads, and each cell's keys."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.cell import Job
from harness.errors import UserError, unknown
from harness.facts import TaskFacts, task_facts
from harness.hardware import Compute, fingerprint
from harness.keys import COMPUTING, digest, engine_code, score_key, versions
from harness.matrix import Cell, Matrix
from harness.method import Method, make_method
from harness.model import BaseModel, describe, find_model
from harness.process import now, redact
from harness.taskfiles import find_in_catalogue, find_task_file, unknown_task
from harness.taskmeta import check_meta


@dataclass(frozen=True)
class Resolved:
    """A cell that is ready to run."""

    job: Job
    facts: TaskFacts
    method: Method
    score: str
    """the score key that a finished record of this cell would carry"""


def check_names(matrix: Matrix, folders: Sequence[Path]) -> None:
    """Every method and every task of a matrix must be known. Raises `UserError`; loads no model and no data."""
    from harness.loading import in_catalogue

    for cell in matrix.cells:
        make_method(cell.method, cell.settings, matrix.where(cell.method))
    for name in dict.fromkeys(cell.task for cell in matrix.cells):
        if find_task_file(name, folders) is None and not in_catalogue(name):
            where = f"{matrix.where(name)}: " if name in matrix.lines else ""
            raise UserError(f"{where}{unknown_task(name, folders)}")
    for name, data in dict.fromkeys((cell.task, cell.data) for cell in matrix.cells if cell.data):
        _check_data(name, data, matrix.where(name), folders)


def _check_data(task: str, data: Sequence[tuple[str, str | int]], where: str, folders: Sequence[Path]) -> None:
    """What a matrix tells a task's data source must be what the task says that it understands."""
    file = find_task_file(task, folders)
    meta = check_meta(file) if file else None
    options = meta.data_options if meta else {}
    if not options:
        raise UserError(f"{where}: the data source of {task} takes no options (its metadata.tunebench has no data_options)")
    for key, value in data:
        if key not in options:
            raise UserError(f"{where}: {unknown(f'data option of {task}', key, options)}")
        if value not in options[key]:
            raise UserError(f"{where}: {key} of {task} is {value!r}; it may be {', '.join(map(str, options[key]))}")


def resolve(matrix: Matrix, compute: Compute, results: Path, folders: Sequence[Path], data_dir: Path | None) -> list[Resolved]:
    """Check every cell and compute its keys. Raises `UserError` for the first thing wrong, with where it was said."""
    bases: dict[str, BaseModel] = {}
    facts: dict[tuple, TaskFacts] = {}
    methods = {
        (cell.method, cell.settings): make_method(cell.method, cell.settings, matrix.where(cell.method)) for cell in matrix.cells
    }
    _refuse_twins(matrix.cells)
    check_names(matrix, folders)
    shared = provenance(compute)
    training = {cell.task for cell in matrix.cells if methods[cell.method, cell.settings].trains}
    found = []
    for cell in matrix.cells:
        method = methods[cell.method, cell.settings]
        if cell.model not in bases:
            base = find_model(cell.model)
            assert base is not None
            bases[cell.model] = base
        base = bases[cell.model]
        key = (cell.task, cell.data, cell.max_new_tokens, cell.model, cell.split, cell.test_limit)
        if key not in facts:
            trains = cell.task in training
            facts[key] = task_facts(cell, folders, data_dir, base, trains=trains)
        keys = cell_keys(cell, method, facts[key], base, compute, matrix.usd_per_hour)
        job = Job(
            cell=cell,
            results=str(results),
            folders=tuple(map(str, _folders(cell.task, folders))),
            data_dir=str(data_dir) if data_dir else None,
            compute=compute,
            base=base,
            keys=keys,
            usd_per_hour=matrix.usd_per_hour,
            provenance=shared
            | {
                "method": {"uses_model": method.uses_model, "trains": method.trains},
                "model": describe(base),
                "task": {
                    "train": facts[key].train,
                    "requests": facts[key].requests,
                    "references": facts[key].references,
                    "metric_code": facts[key].metric_code,
                },
            },
        )
        found.append(Resolved(job, facts[key], method, score_key(keys["predict"], facts[key].references, facts[key].metric_code)))
    return found


def _folders(task: str, folders: Sequence[Path]) -> list[Path]:
    """Where a cell's process looks for its task: for one of lm-eval's own its folder, too, so that thousands of files are not
    looked through again."""
    found = None if find_task_file(task, folders) else find_in_catalogue(task)
    return [*folders, *([found.path.parent] if found else [])]


def _refuse_twins(cells: Sequence[Cell]) -> None:
    seen: dict[str, Cell] = {}
    for cell in cells:
        if cell.id in seen:
            raise UserError(f"two cells are the same but for their names: {seen[cell.id]} and {cell}")
        seen[cell.id] = cell


def cell_keys(
    cell: Cell, method: Method, facts: TaskFacts, base: BaseModel, compute: Compute, usd_per_hour: float = 0.0
) -> dict[str, str]:
    """The keys spec, train and predict (the score key needs the predictions' key and the metric's code)."""
    train = {
        "method": [method.name, method.settings.model_dump(), method.code(), engine_code(*method.engine)],
        "data": facts.train if method.trains else "",
        "seed": cell.seed,
        "versions": versions(COMPUTING),
    }
    if method.trains:
        train["budget"] = [str(cell.budget), usd_per_hour if cell.budget.unit == "usd" else 0]
    if method.uses_model:
        train["model"] = base.sha256
        train["compute"] = {"device": compute.device, "precision": compute.precision, "threads": compute.threads}
    train_key = digest(train)
    return {"spec": cell.spec_key, "train": train_key, "predict": digest([train_key, facts.requests])}


def provenance(compute: Compute) -> dict[str, Any]:
    """What stands beside the keys in every record of a run."""
    return {
        "command": command_line(),
        "started": now(),
        "code_revision": code_revision(),
        "packages": versions(["tunebench", *COMPUTING, "scipy", "pandas", "pydantic", "seqeval"]),
        "hardware": fingerprint(compute),
    }


def command_line() -> str:
    """The command as it was typed, secrets replaced (``make`` passes its own through TUNEBENCH_COMMAND)."""
    stated = os.environ.get("TUNEBENCH_COMMAND")
    return redact(stated or shlex.join(["tunebench", *sys.argv[1:]]))


def code_revision() -> str:
    """The checkout's commit (with ``+changes`` where files differ), or the installed version."""
    here = Path(__file__).resolve().parent.parent
    if not (here / ".git").exists():
        return f"tunebench {versions(['tunebench']).get('tunebench', 'unknown')}"
    try:
        commit = _git(here, "rev-parse", "--short=12", "HEAD")
        changed = _git(here, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return commit + ("+changes" if changed else "")


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()  # noqa: S603
