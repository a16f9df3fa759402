"""The record: what one cell gave. A versioned JSON beside one line per test sample; everything else is derived from it."""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import CannotSave, one_line
from harness.keys import file_digest

SCHEMA_VERSION = 1
_NEXT = "samples.next.jsonl"
Status = Literal["ok", "failed", "skipped", "unscored"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class CellName(_Strict):
    """What was asked for."""

    task: str
    method: str
    model: str
    budget: str
    """number and unit, as ``5e12flops``"""
    seed: int
    settings: dict[str, Any] = Field(default_factory=dict)
    """the method's settings that were given, defaults not repeated"""
    split: str = "test"
    test_limit: int | None = None
    data: dict[str, str | int] = Field(default_factory=dict)
    """what the task's data source was told"""
    max_new_tokens: int | None = None


class Metric(_Strict):
    """One score with its 95 % interval over `n` samples. `low`, `high` and `value` are null where undefined."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int
    interval: str = ""
    """how the interval was made: ``wilson``, ``bootstrap`` or ``bound`` (a perfect or zero score)"""
    higher_is_better: bool = True


class Spend(_Strict):
    """What adapting cost (evaluation is not charged)."""

    flops: float = 0.0
    train_tokens: int = 0
    supervised_tokens: int = 0
    generated_tokens: int = 0
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    """highest resident memory of the cell's process (on a GPU: of the device), training and evaluation together"""
    usd: float = 0.0
    unspent: float = 0.0
    """what was left of the budget, in the budget's own unit"""
    examples: int = 0
    """training examples used, repeats counted"""
    epochs: float = 0.0


class Inference(_Strict):
    """What answering costs, per 1,000 samples; stands beside the score, never inside the budget."""

    flops_per_1000: float = 0.0
    seconds_per_1000: float = 0.0
    generated_tokens_per_1000: float = 0.0
    batches: str = ""
    """digest of the batch plan: which samples were computed together, in which order"""


class Keys(_Strict):
    """Hashes of what can change each step and nothing else."""

    spec: str
    train: str = ""
    predict: str = ""
    score: str = ""


class Record(_Strict):
    """What one cell gave."""

    schema_version: Literal[1] = 1
    cell: CellName
    status: Status
    reason: str = ""
    """one line: why it failed, was skipped or is unscored"""
    log: str = ""
    """for a failed cell, the file beside this one that holds the traceback"""
    label: str = ""
    """how the method is called in tables"""
    main_metric: str = ""
    metrics: dict[str, Metric] = Field(default_factory=dict)
    confusion: dict[str, dict[str, int]] = Field(default_factory=dict)
    """reference -> prediction -> samples, for tasks with fixed choices"""
    spend: Spend = Field(default_factory=Spend)
    inference: Inference = Field(default_factory=Inference)
    trainable_parameters: int = 0
    stored_bytes: int = 0
    """what must be stored beside the base model to use the result"""
    curve: list[dict[str, float]] = Field(default_factory=list)
    """one entry a training step: step, share, loss, learning_rate, flops, tokens, seconds"""
    notes: list[str] = Field(default_factory=list)
    """what a reader of the numbers should know (settings inferred, batches halved)"""
    task: dict[str, Any] = Field(default_factory=dict)
    """kind, chance, licence, version, redistribute, sizes and choices of the task"""
    settings: dict[str, Any] = Field(default_factory=dict)
    """the method's settings in full, defaults resolved"""
    keys: Keys
    samples_sha256: str = ""
    provenance: dict[str, Any] = Field(default_factory=dict)
    """hashes of task, data and model, code revision, package versions, hardware, exact command, times"""


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_UMASK = _umask()


class DamagedRecord(Exception):
    """A record that cannot be used: from another schema version, or cut in half. The message is one line."""


def atomic_write(path: Path, text: str) -> None:
    """Write a whole file or nothing: a temporary file in the same folder, flushed to disk, then renamed over `path`.

    Raises `CannotSave` where the folder is read-only or full: a result that could not be saved is an error.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(name, 0o666 & ~_UMASK)  # a temporary file is private; a result is as open as its owner's other files
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
    except OSError as error:
        mend = "free some space or choose another folder with --results"
        raise CannotSave(f"cannot save {path}: {error.strerror or error}; {mend}") from error


def write_samples(folder: Path, samples: Iterable[dict], name: str = "samples.jsonl") -> str:
    """Write ``samples.jsonl`` and return its SHA-256."""
    lines = [json.dumps(sample, ensure_ascii=False, allow_nan=False) + "\n" for sample in samples]
    path = folder / name
    atomic_write(path, "".join(lines))
    return file_digest(path)


def commit(folder: Path, record: Record, samples: Iterable[dict]) -> Record:
    """Write samples and record as one: whenever the process dies, the folder holds the old pair or the new one. The new
    samples wait under another name until the record that vouches for them is there (`read_record` finishes the move)."""
    sha = write_samples(folder, samples, _NEXT)
    record = record.model_copy(update={"samples_sha256": sha})
    write_record(folder, record)
    with contextlib.suppress(FileNotFoundError):  # a reader that came in between has finished the move
        os.replace(folder / _NEXT, folder / "samples.jsonl")
    return record


def read_samples(folder: Path) -> list[dict]:
    """The samples of a cell; raises `DamagedRecord` naming file and line where one is broken."""
    samples = []
    path = folder / "samples.jsonl"
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                samples.append(json.loads(line))
            except ValueError as error:
                raise DamagedRecord(f"{path}:{number}: not a line of JSON ({one_line(error)})") from error
    return samples


def write_record(folder: Path, record: Record) -> None:
    """Write ``record.json``, last of a cell's files: a cell is finished when it exists."""
    whole = Record.model_validate(record.model_dump())  # a copy with changes is not checked by itself; what is written is
    atomic_write(folder / "record.json", whole.model_dump_json(indent=1) + "\n")


def read_record(folder: Path) -> Record | None:
    """The record in a cell's folder, or None where there is none. Raises `DamagedRecord`."""
    path = folder / "record.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise DamagedRecord(f"{path} is cut short or unreadable ({one_line(error, 120)})") from error
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if version != SCHEMA_VERSION:
        raise DamagedRecord(f"{path} has schema version {version!r}, this program reads {SCHEMA_VERSION}")
    try:
        record = Record.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DamagedRecord(f"{path}: field {where}: {first['msg']}") from error
    if record.samples_sha256:
        samples, waiting = folder / "samples.jsonl", folder / _NEXT
        if waiting.exists() and file_digest(waiting) == record.samples_sha256:
            with contextlib.suppress(OSError):  # gone (its writer was faster), or a folder that may only be read
                os.replace(waiting, samples)
        if not samples.exists() or file_digest(samples) != record.samples_sha256:
            raise DamagedRecord(f"{samples} is missing or is not the file that its record describes")
    return record


def set_aside(folder: Path) -> Path:
    """Move a damaged record out of the way, keeping it, and return where it went."""
    number = 1
    while (target := folder / f"record.set-aside-{number}.json").exists():
        number += 1
    os.replace(folder / "record.json", target)
    return target


def read_results(results: Path) -> Iterator[tuple[Path, Record | DamagedRecord]]:
    """Every cell folder with a record, in name order; a damaged record comes as the error that says why."""
    for path in sorted((results / "cells").glob("*/record.json")):
        try:
            record = read_record(path.parent)
        except DamagedRecord as error:
            yield path.parent, error
        else:
            if record is not None:
                yield path.parent, record


def finite(value: float | None) -> float | None:
    """`value`, or None where it is not a finite number (JSON has no NaN)."""
    return None if value is None or not math.isfinite(value) else float(value)
