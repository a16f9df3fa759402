"""The YAML of a task by itself: its keys, its block of ours, and the line to blame where it does not load."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.errors import UserError, unknown
from harness.faults import Findings, own_line
from harness.taskfiles import TaskFile
from harness.taskmeta import TaskMeta, meta_block, meta_faults

#: keys of a task's YAML that lm-eval knows beside those of its TaskConfig
_STRUCTURE = {"include", "class", "group", "group_alias", "task_list"}
#: what `dataset_path` may say that is no repository
_READERS = ("json", "csv", "parquet", "text")
_METRIC_KEYS = ("metric", "aggregation", "higher_is_better", "hf_evaluate", "kwargs")
_SPLITS = ("training_split", "validation_split", "test_split", "fewshot_split")


def check_file(file: TaskFile, found: Findings, ours: bool) -> tuple[TaskMeta | None, bool]:
    """The block of ours where it is sound, and whether it makes sense to load the task at all."""
    loads = _check_keys(file, found)
    for split, keys in {"train": ("training_split",), "test": ("test_split", "validation_split")}.items():
        if not any(file.config.get(key) for key in keys) and (ours or "class" not in file.config):  # a class may have its own
            mend = f"set {' or '.join(keys)} to the name that the data have for it"
            found.fault(f"{file.path}:1", f"there is no {split} split: {mend}")
            loads &= split != "test"
    if not ours:
        return None, loads
    _check_revision(file, found)
    block = meta_block(file)
    if block is None:
        mend = "add main_metric, licence, kind, chance, chat_template, redistribute, version (docs/adding-a-task.md)"
        found.fault(file.where("metadata"), f"there is no metadata.tunebench: {mend}")
        return None, loads
    try:
        meta = TaskMeta.model_validate(block)
    except ValidationError as error:
        found.faults += meta_faults(file, error)
        return None, loads
    if meta.licence.strip().lower() == "unknown":
        where = file.where("metadata", "tunebench", "licence")
        found.remarks.append(f"{where}: the licence is unknown")
        if meta.redistribute:
            mend = "name the licence that allows it, or set redistribute: false"
            where = file.where("metadata", "tunebench", "redistribute")
            found.fault(where, f"text of an unknown licence may not be passed on: {mend}")
    return meta, loads


def _check_keys(file: TaskFile, found: Findings) -> bool:
    """Unknown keys (with which lm-eval does not load a task), misspelt keys of metrics, choices that are no text."""
    from lm_eval.config.task import TaskConfig

    known = {one.name for one in dataclasses.fields(TaskConfig)} | _STRUCTURE
    strange = [str(key) for key in file.config if key not in known]
    for key in strange:
        found.fault(file.where(key), str(unknown("key", key, known)))
    metrics = file.config.get("metric_list")
    for number, metric in enumerate(metrics if isinstance(metrics, list) else []):
        for key in metric if isinstance(metric, dict) else ():
            if key not in _METRIC_KEYS and difflib.get_close_matches(str(key), _METRIC_KEYS, cutoff=0.75):
                said = str(unknown("key of a metric", str(key), _METRIC_KEYS))
                found.fault(file.where("metric_list", number, str(key)), said)
    choices = file.config.get("doc_to_choice")
    plain = [repr(one) for one in choices if not isinstance(one, str)] if isinstance(choices, list) else []
    if plain:
        said = f"choices are text, and YAML reads {', '.join(plain[:3])} as something else (a bool or a number): set quotes"
        found.fault(file.where("doc_to_choice"), said)
    listed = [str(one) for one in choices] if isinstance(choices, list) else []
    if "" in listed or len(set(listed)) < len(listed):
        found.fault(file.where("doc_to_choice"), "a choice is empty, or stands twice: give each a text of its own")
        plain = [*plain, "twice"]
    return not strange and not plain


def _check_revision(file: TaskFile, found: Findings) -> None:
    source, options = file.config.get("dataset_path"), file.config.get("dataset_kwargs")
    remote = source and source not in _READERS and not Path(str(source)).exists()
    if remote and not (isinstance(options, dict) and options.get("revision")):
        mend = "add dataset_kwargs: {revision: <commit>}, so that the data cannot change behind the results"
        found.fault(file.where("dataset_path"), f"the revision of {source} is missing: {mend}")


def where_loading(file: TaskFile, error: UserError) -> str:
    """The message of a task that does not load, with the best line that can be told: the place that it states itself, where the
    task's own code raised, where a name stands that nothing answers to, or the YAML's first line."""
    cause = error.__cause__
    plain = str(error).removeprefix(f"{file.path}: ")
    if re.match(r"(?:(?!: ).)+\.\w+:\d+: ", plain):
        return plain
    if isinstance(cause, SyntaxError) and cause.filename:
        return f"{cause.filename}:{cause.lineno or 1}: {plain}"
    if line := own_line(file, cause) or own_line(file, error):
        return f"{line}: {plain}"
    if name := re.search(r"'(\w+)' is undefined", plain):
        asked = re.compile(rf"\{{\{{[^}}]*\b{name[1]}\b")
        keys = ("doc_to_text", "doc_to_target", "doc_to_choice")
        key = next((key for key in keys if asked.search(str(file.config.get(key)))), "doc_to_text")
        return f"{file.where(key)}: {plain}; the data have no column of that name"
    if isinstance(cause, KeyError) and cause.args:
        for key in _SPLITS:
            if file.config.get(key) == cause.args[0]:
                return f"{file.where(key)}: the data have no split '{cause.args[0]}': set {key} to one that they have"
    if isinstance(cause, (AttributeError, ImportError, OSError)):
        for place, value in _functions(file.config):
            if any(part in str(cause) for part in value.removeprefix("!function ").split(".")):
                return f"{file.where(*place)}: {plain}"
    if "test split is empty" in plain or "first test document" in plain:
        row = file.path.parent / "test.jsonl"
        if "first test document" in plain and row.is_file():
            return f"{row}:1: {plain}"
        return f"{file.where('test_split')}: {plain}"
    return f"{file.path}:1: {plain}"


def _functions(config: Any, keys: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The path and the text of every ``!function`` of a YAML."""
    items = config.items() if isinstance(config, dict) else enumerate(config) if isinstance(config, list) else ()
    for key, value in items:
        if isinstance(value, str) and value.startswith("!function "):
            yield (*keys, key), value
        else:
            yield from _functions(value, (*keys, key))
