"""``tunebench tasks check``: everything that is wrong with a task, at once, with file and line and how to mend it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.doccheck import SPLITS, check_documents, check_lengths, check_overlap
from harness.errors import UserError, one_line, unknown
from harness.faults import DocFinder, Findings, own_line
from harness.loading import check_metrics, load_lm_eval
from harness.model import BaseModel
from harness.scorecheck import check_scores
from harness.task import Task, quiet
from harness.taskfiles import TaskFile
from harness.taskmeta import TaskMeta, infer, meta_block, meta_faults

#: keys of a task's YAML that lm-eval knows beside those of its TaskConfig
_STRUCTURE = {"include", "class", "group", "group_alias", "task_list"}
#: what `dataset_path` may say that is no repository
_READERS = ("json", "csv", "parquet", "text")


def check_task(file: TaskFile, data_dir: Path | None, base: BaseModel | None, ours: bool = True) -> Findings:
    """Check a task's file, its data on all splits, and its scoring. `base` gives tokenizer and context (None: prompts are not
    measured); `ours` is False for lm-eval's own tasks, which need no block of ours, no licence and no revision."""
    found = Findings()
    meta = _check_file(file, found, ours)
    with quiet():
        try:
            loaded = load_lm_eval(str(file.config.get("task")), file, (), data_dir)
        except UserError as error:
            found.faults.append(f"{_where_loading(file, error)} (until this is mended its data cannot be looked at)")
            return found
    task = Task(str(file.config["task"]), loaded, meta or _what_is_sound(meta_block(file), loaded), file)
    _check_metrics(task, found)
    finder = DocFinder(file)
    with quiet():
        docs, sound = check_documents(task, finder, found)
        if len(docs) == len(SPLITS):
            found.counts = ", ".join(f"{len(docs[split])} {split}" for split in SPLITS) + " documents"
            found.remarks += task.set_aside()
            check_overlap(task, finder, docs, found)
        if sound:
            if base is not None:
                check_lengths(task, finder, base, found)
            check_scores(task, finder, found)
        _check_options(task, file, data_dir, found)
    return found


def _check_file(file: TaskFile, found: Findings, ours: bool) -> TaskMeta | None:
    """Keys of the YAML and of our block; returns the block where it is sound."""
    from lm_eval.config.task import TaskConfig

    known = {one.name for one in dataclasses.fields(TaskConfig)} | _STRUCTURE
    for key in file.config:
        if key not in known and "class" not in file.config:  # a class of its own may understand more
            found.fault(file.where(str(key)), str(unknown("key", str(key), known)))
    for split, keys in {"train": ("training_split",), "test": ("test_split", "validation_split")}.items():
        if not any(file.config.get(key) for key in keys):
            mend = f"set {' or '.join(keys)} to the name that the data have for it"
            found.fault(f"{file.path}:1", f"there is no {split} split: {mend}")
    if not ours:
        return None
    _check_revision(file, found)
    block = meta_block(file)
    if block is None:
        mend = "add main_metric, licence, kind, chance, chat_template, redistribute, version (docs/adding-a-task.md)"
        found.fault(file.where("metadata"), f"there is no metadata.tunebench: {mend}")
        return None
    try:
        meta = TaskMeta.model_validate(block)
    except ValidationError as error:
        found.faults += meta_faults(file, error)
        return None
    if meta.licence.strip().lower() == "unknown":
        where = file.where("metadata", "tunebench", "licence")
        found.remarks.append(f"{where}: the licence is unknown")
        if meta.redistribute:
            mend = "name the licence that allows it, or set redistribute: false"
            where = file.where("metadata", "tunebench", "redistribute")
            found.fault(where, f"text of an unknown licence may not be passed on: {mend}")
    return meta


def _check_revision(file: TaskFile, found: Findings) -> None:
    source, options = file.config.get("dataset_path"), file.config.get("dataset_kwargs")
    remote = source and source not in _READERS and not Path(str(source)).exists()
    if remote and not (isinstance(options, dict) and options.get("revision")):
        mend = "add dataset_kwargs: {revision: <commit>}, so that the data cannot change behind the results"
        found.fault(file.where("dataset_path"), f"the revision of {source} is missing: {mend}")


def _what_is_sound(block: Any, loaded: Any) -> TaskMeta:
    """What can be used of a block that has faults, so that data and scoring can be looked at all the same."""
    inferred = infer(loaded)[0]
    if not isinstance(block, dict):
        return inferred
    stated = inferred.model_dump() | block
    try:
        return TaskMeta.model_validate(stated)
    except ValidationError as error:
        wrong = {one["loc"][0] for one in error.errors() if one["loc"]}
    try:
        kept = {key: value for key, value in block.items() if key not in wrong}
        return TaskMeta.model_validate(inferred.model_dump() | kept)
    except ValidationError:
        return inferred


def _where_loading(file: TaskFile, error: UserError) -> str:
    """The message of a task that does not load, with the best line that can be told: where its own code raised, where the
    unknown name stands, or its first line."""
    said, cause = str(error), error.__cause__
    plain = said.removeprefix(f"{file.path}: ")
    if line := own_line(file, cause):
        return f"{line}: {plain}"
    if re.match(r"\S+\.\w+:\d+: ", said):
        return said
    if name := re.search(r"'(\w+)' is undefined", said):
        keys = ("doc_to_text", "doc_to_target", "doc_to_choice")
        key = next((key for key in keys if name[1] in str(file.config.get(key))), "doc_to_text")
        return f"{file.where(key)}: {plain}; the data have no column of that name"
    if isinstance(cause, KeyError) and cause.args:
        for key in ("training_split", "validation_split", "test_split", "fewshot_split"):
            if file.config.get(key) == cause.args[0]:
                return f"{file.where(key)}: the data have no split '{cause.args[0]}'"
    return f"{file.path}:1: {plain}"


def _check_metrics(task: Task, found: Findings) -> None:
    """The main metric must be one that the task gives, and each that it declares one that its scoring gives."""
    known, stated = task.lm_eval.aggregation(), task.meta.main_metric
    assert task.file is not None
    if stated not in known:
        found.fault(task.file.where("metadata", "tunebench", "main_metric"), str(unknown("metric", stated, known)))
        task.meta = task.meta.model_copy(update={"main_metric": next(iter(known))})
    try:
        check_metrics(task)
    except UserError as error:
        found.faults.append(str(error))


def _check_options(task: Task, file: TaskFile, data_dir: Path | None, found: Findings) -> None:
    """Every value of every data option must load, and leave something to train on."""
    for option, values in task.meta.data_options.items():
        for value in values:
            try:
                loaded = load_lm_eval(task.name, file, (), data_dir, {option: value})
                if not len(loaded.training_docs()):
                    raise UserError("nothing is left to train on")
            except Exception as error:  # noqa: BLE001 (a task's own code)
                said = f"{option}: {value} does not load: {one_line(error, 200)}"
                found.fault(file.where("metadata", "tunebench", "data_options", option), said)
