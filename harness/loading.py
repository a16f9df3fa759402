"""Loading a task by name: from the folders given, else from lm-eval's own catalogue, checked as far as that costs nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from harness.errors import UserError, one_line, unknown
from harness.hub import cache_of, cannot_be_had, comes_from_the_hub
from harness.instruction_scores import METRICS as INSTRUCTION_METRICS
from harness.task import Task, quiet
from harness.taskfiles import TaskFile, find_in_catalogue, find_task_file, unknown_task
from harness.taskmeta import check_meta, infer

#: test documents on which a task's metrics are looked for
_TRIED = 20


def in_catalogue(name: str) -> bool:
    """Whether lm-eval's own catalogue has a task of this name (reading it takes about 6 s where no file of it says so)."""
    if find_in_catalogue(name) is not None:
        return True
    with quiet():
        from lm_eval.tasks import TaskManager

        return name in TaskManager().all_subtasks


def load_task(
    name: str,
    folders: Sequence[Path],
    data_dir: Path | None = None,
    data: Sequence[tuple[str, str | int]] = (),
    max_new_tokens: int | None = None,
) -> Task:
    """A task by name: from `folders` (the first that has it wins), else from lm-eval's own catalogue. `data` are keywords for
    its data source (lm-eval's ``--metadata``), `max_new_tokens` takes the place of its own limit on an answer. Where `data_dir`
    holds a copy of the Hub's repository that the task reads (``DATA_DIR/owner/name``), the copy is read instead."""
    file = find_task_file(name, folders) or find_in_catalogue(name)
    meta = check_meta(file) if file else None
    where = str(file.path) if file else f"lm-eval's task {name}"
    with quiet():
        loaded = load_lm_eval(name, file, folders, data_dir, dict(data))
    known = set(loaded.aggregation())
    if not known:
        raise UserError(f"{file.where('metric_list') if file else where}: task '{name}' has no metric: name one in metric_list")
    guessed: list[str] = []
    if meta is None:
        meta, guessed = infer(loaded)
    task = Task(name, loaded, meta, file, [f"task '{name}' states no metadata.tunebench; inferred: {one}" for one in guessed])
    task.notes += task.set_aside()
    if task.meta.main_metric not in known:
        place = file.where("metadata", "tunebench", "main_metric") if file else where
        raise UserError(f"{place}: {unknown('metric', task.meta.main_metric, known)}")
    if max_new_tokens is not None and loaded.OUTPUT_TYPE == "generate_until":
        loaded.set_config("generation_kwargs", {"max_gen_toks": max_new_tokens}, update=True)
    check_metrics(task)
    return task


def load_lm_eval(
    name: str,
    file: TaskFile | None,
    folders: Sequence[Path],
    data_dir: Path | None,
    data: Mapping[str, str | int] | None = None,
) -> Any:
    """lm-eval's own object for a task, not checked; whatever it or the task's data source raises is a `UserError` of one line."""
    from lm_eval.tasks import TaskManager

    where = str(file.path) if file else f"lm-eval's task {name}"
    extra = {**(data or {}), **({"data_dir": str(data_dir)} if data_dir else {})} or None
    repository = str(file.config.get("dataset_path") or "") if file else ""
    if file is None:
        manager = TaskManager(metadata=extra)
        if name not in manager.all_subtasks:
            raise unknown_task(name, folders, manager.all_subtasks)
    with _folder(file, repository, data_dir) as folder:
        if folder is not None:
            manager = TaskManager(include_path=[str(folder)], include_defaults=False, metadata=extra)
        try:
            return manager.load(name)["tasks"][name]
        except UserError:
            raise
        except IndexError as error:
            if "size 0" not in str(error):
                why = "its first test document's answer is none of its choices, or a column is shorter than it should be"
                raise UserError(f"{where}: task '{name}' does not load: {why} ({one_line(error)})") from error
            # lm-eval looks at the first test document while it loads
            raise UserError(f"{where}: task '{name}' does not load: its test split is empty") from error
        except (Exception, SystemExit) as error:  # whatever a task's own data source raises is the user's to mend
            if repository and comes_from_the_hub(error):
                kwargs = file.config.get("dataset_kwargs") if file else None
                revision = str(kwargs.get("revision") or "") if isinstance(kwargs, dict) else ""
                copy = data_dir / repository if data_dir and (data_dir / repository).is_dir() else None
                raise UserError(f"{where}: {cannot_be_had(repository, revision, error, copy)}") from error
            raise UserError(f"{where}: task '{name}' does not load: {type(error).__name__}: {one_line(error)}") from error


@contextmanager
def _folder(file: TaskFile | None, repository: str, data_dir: Path | None) -> Iterator[Path | None]:
    """The folder that lm-eval is to look in: the task's own, or one whose YAML includes the task's and reads a local copy."""
    if file is None:
        yield None
        return
    local = data_dir / repository if data_dir and repository else None
    if local is None or not local.is_dir():
        yield file.path.parent
        return
    with tempfile.TemporaryDirectory() as made:
        kwargs = file.config.get("dataset_kwargs")
        kept = {key: value for key, value in kwargs.items() if key != "revision"} if isinstance(kwargs, dict) else {}
        said = {"include": str(file.path), "task": file.config["task"], "dataset_path": str(local)}
        said["dataset_kwargs"] = kept | {"cache_dir": cache_of(local)}
        Path(made, "task.yaml").write_text(yaml.safe_dump(said), encoding="utf-8")
        yield Path(made)


def check_metrics(task: Task) -> None:
    """Every metric that a task declares must be one that its scoring gives, and be aggregated somehow: tried on the first
    test documents with an empty answer (a scoring function that cannot take one is left for later)."""
    where = task.file.where("metric_list") if task.file else task.where
    for name, aggregate in task.lm_eval.aggregation().items():
        if aggregate is None:
            raise UserError(f"{where}: metric '{name}' has an aggregation that lm-eval does not know: write mean, or a !function")
    docs = task.lm_eval.eval_docs
    given: set[str] = set(INSTRUCTION_METRICS) if task.meta.kind == "instruction" else set()
    try:
        for number in range(min(len(docs), _TRIED)):  # a metric may have no meaning for some documents
            empty: list = [""]
            if task.lm_eval.OUTPUT_TYPE == "multiple_choice":
                empty = [(-1.0 - i, False) for i in range(len(task.lm_eval.doc_to_choice(docs[number])))]
            given |= set(task.lm_eval.process_results(docs[number], empty))
            if given >= set(task.lm_eval.aggregation()):
                return
    except Exception:  # noqa: BLE001 (a stranger's scoring, on an answer that may never come)
        return
    for name in task.lm_eval.aggregation():
        if name not in given:
            raise UserError(f"{where}: {unknown('metric', name, given)}")
