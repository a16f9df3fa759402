"""``tunebench tasks check``: everything that is wrong with a task, at once, with file and line and how to mend it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.doccheck import SPLITS, check_documents, check_lengths, check_overlap
from harness.errors import UserError, one_line, unknown
from harness.faults import DocFinder, Findings
from harness.filecheck import check_file, where_loading
from harness.loading import check_metrics, load_lm_eval
from harness.model import BaseModel
from harness.scorecheck import check_scores
from harness.task import Task, quiet
from harness.taskfiles import TaskFile
from harness.taskmeta import TaskMeta, infer, meta_block

_UNSEEN = "mend this first: its data cannot be looked at before"
_CHOOSES = ("classification", "multiple_choice")


def check_task(file: TaskFile, data_dir: Path | None, base: BaseModel | None, ours: bool = True) -> Findings:
    """Check a task's file, its data on all splits, and its scoring. `base` gives tokenizer and context (None: prompts are not
    measured); `ours` is False for lm-eval's own tasks, which need no block of ours, no licence and no revision."""
    found = Findings()
    meta, loads = check_file(file, found, ours)
    if not loads:
        found.remarks.append(_UNSEEN)
        return found
    with quiet():
        try:
            loaded = load_lm_eval(str(file.config.get("task")), file, (), data_dir)
        except UserError as error:
            found.faults.append(f"{where_loading(file, error)} ({_UNSEEN})")
            return found
    meta, scored = (meta, True) if meta else _what_is_sound(meta_block(file), loaded)
    task = Task(str(file.config["task"]), loaded, meta, file)
    if loaded.OUTPUT_TYPE not in ("multiple_choice", "generate_until"):
        said = f"output_type {loaded.OUTPUT_TYPE} has no prompt and completion to train on: set multiple_choice or generate_until"
        found.fault(file.where("output_type"), said)
        return found
    scored &= _check_kind(task, found) and _check_metrics(task, found)
    finder = DocFinder(file)
    with quiet():
        seen = check_documents(task, finder, found)
        if len(seen.docs) == len(SPLITS):
            found.counts = ", ".join(f"{len(seen.docs[split])} {split}" for split in SPLITS) + " documents"
            found.remarks += task.set_aside()
        if not seen.constant:
            check_overlap(task, finder, seen, found)
        if base is not None:
            check_lengths(task, finder, seen, base, found)
        if scored and seen.good.get("test"):
            check_scores(task, finder, seen, found)
        _check_options(task, file, data_dir, found)
    return found


def _what_is_sound(block: Any, loaded: Any) -> tuple[TaskMeta, bool]:
    """What can be used of a block that has faults, so that data and scoring can be looked at all the same; and whether scoring
    can be."""
    try:
        inferred = infer(loaded)[0]
    except Exception:  # noqa: BLE001 (data that the check of documents will tell)
        gaps = {"main_metric": next(iter(loaded.aggregation()), "none"), "licence": "unknown", "kind": "generation", "chance": 0}
        return TaskMeta.model_validate(gaps | {"chat_template": False, "redistribute": False, "version": 1}), False
    if not isinstance(block, dict):
        return inferred, True
    try:
        return TaskMeta.model_validate(inferred.model_dump() | block), True
    except ValidationError as error:
        wrong = {one["loc"][0] for one in error.errors() if one["loc"]}
    kept = {key: value for key, value in block.items() if key not in wrong}
    try:
        return TaskMeta.model_validate(inferred.model_dump() | kept), True
    except ValidationError:
        return inferred, False


def _check_kind(task: Task, found: Findings) -> bool:
    """Whether the kind fits what is asked of a model."""
    assert task.file is not None
    chooses = task.lm_eval.OUTPUT_TYPE == "multiple_choice"
    if chooses == (task.meta.kind in _CHOOSES):
        return True
    fitting = " or ".join(_CHOOSES) if chooses else "generation, entities or instruction"
    said = f"kind {task.meta.kind} does not go with output_type {task.lm_eval.OUTPUT_TYPE}: set it to {fitting}"
    found.fault(task.file.where("metadata", "tunebench", "kind"), said)
    return False


def _check_metrics(task: Task, found: Findings) -> bool:
    """The main metric must be one that the task gives, and each that it declares one that its scoring gives."""
    known, stated = task.lm_eval.aggregation(), task.meta.main_metric
    assert task.file is not None
    if not known:
        found.fault(task.file.where("metric_list"), "the task has no metric: name one in metric_list, and add its aggregation")
        return False
    sound = stated in known
    if not sound:
        found.fault(task.file.where("metadata", "tunebench", "main_metric"), str(unknown("metric", stated, known)))
    try:
        check_metrics(task)
    except UserError as error:
        found.faults.append(str(error))
        sound = False
    return sound


def _check_options(task: Task, file: TaskFile, data_dir: Path | None, found: Findings) -> None:
    """Every value of every data option must load, and leave something to train on."""
    for option, values in task.meta.data_options.items():
        for value in values:
            try:
                loaded = load_lm_eval(task.name, file, (), data_dir, {option: value})
                if not len(loaded.training_docs()):
                    raise UserError("nothing is left to train on")
            except Exception as error:  # noqa: BLE001 (a task's own code)
                reason = one_line(str(error).split("does not load: ", 1)[-1], 200)
                said = f"{option}: {value} does not load: {reason}; mend the data source, or take the value out"
                found.fault(file.where("metadata", "tunebench", "data_options", option), said)
