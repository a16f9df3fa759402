"""The matrix runner: does what is missing, records as it goes, reports at the end."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.cell import Job, record_crash, run_cell
from harness.display import Board
from harness.errors import CannotSave, UserError, one_line
from harness.executor import CellCrashed, LocalExecutor
from harness.process import now
from harness.rates import estimate_cell, learn_rates, load_rates
from harness.record import DamagedRecord, atomic_write, read_record, set_aside
from harness.resolve import Resolved, command_line

#: states of a cell before a run
CACHED, RESCORE, MISSING = "cached", "rescore", "missing"


#: bytes that a run must be able to write before it begins: about what a cell's record and samples take
_ROOM = 2**20


@contextlib.contextmanager
def results_lock(results: Path) -> Iterator[None]:
    """One run at a time on a results folder. Checks that the folder can be written."""
    from filelock import FileLock, Timeout

    try:
        (results / "cells").mkdir(parents=True, exist_ok=True)
        lock = FileLock(results / ".lock")
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(
            f"another run is writing to {results}: wait for it to end, or choose another folder with --results"
        ) from error
    except OSError as error:
        mend = "choose another folder with --results"
        raise UserError(f"results folder {results} cannot be written ({error.strerror or error}); {mend}") from error
    try:
        atomic_write(results / ".writable", "." * _ROOM)  # a full disk shows here, before an hour of work
        (results / ".writable").unlink()
        yield
    finally:
        lock.release()


def cell_state(resolved: Resolved, *, mend: bool) -> tuple[str, str]:
    """(state, note) of a cell by its record. With `mend`, a damaged record is set aside (and named in the note)."""
    folder = resolved.job.folder
    try:
        record = read_record(folder)
    except DamagedRecord as error:
        if not mend:
            return MISSING, str(error)
        aside = set_aside(folder)
        return MISSING, f"{error}; set aside as {aside.name}, the cell runs again"
    if record is None or record.keys.predict != resolved.job.keys["predict"]:
        return MISSING, ""
    if record.status == "failed":
        return (RESCORE if record.samples_sha256 else MISSING), ""
    if record.status == "skipped" or record.keys.score == resolved.score:
        return CACHED, ""
    return RESCORE, ""


def run(cells: Sequence[Resolved], results: Path, board: Board, executor: Executor | None = None) -> dict[str, int]:
    """Run what is missing; returns how many cells ended in each status. Interrupted, all finished work is kept. `executor`
    runs the cells (default: each in a process of this machine)."""
    jobs: dict[str, Job] = {}
    counts: dict[str, int] = {}
    for resolved in cells:
        state, note = cell_state(resolved, mend=True)
        board.add(resolved.job.cell, state)
        if note:
            board.say(note)
        if state == CACHED:
            record = read_record(resolved.job.folder)
            assert record is not None
            main = record.metrics.get(record.main_metric)
            board.finish(resolved.job.cell.id, record.status, record.reason, main.value if main else None, cached=True)
            counts[record.status] = counts.get(record.status, 0) + 1
        else:
            jobs[resolved.job.cell.id] = replace(resolved.job, rescore=state == RESCORE)
    facts = {resolved.job.cell.id: resolved for resolved in cells}
    if jobs:
        rates = load_rates(jobs[next(iter(jobs))].compute)
        board.estimates = {key: estimate_cell(facts[key], rates) for key in jobs}
        executor = executor or LocalExecutor(board.workers, board.update)
        try:
            _run_jobs(executor, jobs, facts, board, counts)
        except BaseException:  # an interruption, or a fault of ours: nothing may go on without the lock
            executor.shutdown(wait=False, cancel_futures=True)
            raise
        executor.shutdown()
    write_run(results, cells, board)
    return counts


def _run_jobs(executor: Executor, jobs: dict[str, Job], facts: dict[str, Resolved], board: Board, counts: dict[str, int]) -> None:
    """Submit all, then wait; in short naps, so that an interruption is seen at once."""
    futures: dict[str, Future] = {key: executor.submit(run_cell, job) for key, job in jobs.items()}
    waiting = dict(futures)
    while waiting:
        for key, future in list(waiting.items()):
            if future.done():
                del waiting[key]
                summary = _outcome(future, jobs[key])
                counts[summary["status"]] = counts.get(summary["status"], 0) + 1
                board.finish(key, summary["status"], summary["reason"], summary.get("value"), seconds=summary.get("seconds"))
                with contextlib.suppress(UserError):  # an estimate that could not be kept is no loss
                    learn_rates(facts[key], summary)
        board.tick()
        time.sleep(0.05)


def _outcome(future: Future, job: Job) -> dict[str, Any]:
    try:
        return future.result()
    except CellCrashed as error:
        try:
            reason = record_crash(job, str(error))
        except CannotSave as unsaved:
            reason = one_line(f"{error}; {unsaved}")
        return {"status": "failed", "reason": reason}


def write_run(results: Path, cells: Sequence[Resolved], board: Board) -> None:
    """``run.json``: what the last run asked for, in its order."""
    rows = [{"id": r.job.cell.id, **r.job.cell.spec, "label": r.job.cell.label or r.method.label} for r in cells]
    body = {
        "command": command_line(),
        "description": board.description,
        "started": board.started,
        "finished": now(),
        "cells": rows,
        "notes": board.notes,
    }
    text = json.dumps(body, indent=1, ensure_ascii=False, default=str)
    path = results / "run.json"
    with contextlib.suppress(OSError, ValueError):
        old = json.loads(path.read_text(encoding="utf-8"))
        if old["cells"] == json.loads(text)["cells"] and old["notes"] == body["notes"]:
            return  # nothing new was asked for
    atomic_write(path, text)


def hush() -> None:
    """Environment for libraries of this process and its children: no telemetry, no bars, no surprise threads."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("PYTHONSAFEPATH", "1")  # a student's datasets.py in this folder is not the library
