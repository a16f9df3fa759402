"""What the keys need to know of a task: hashes of its rendered prompts and references, and sizes for the plan.

Rendering takes lm-eval (seconds to import), so the facts of shipped tasks are remembered in the cache under a hash of
everything that they follow from; with them a run in which nothing is to do never imports torch.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.instruction_scores import constraints_of
from harness.keys import digest, engine_code, versions
from harness.paths import cache_folder, shipped
from harness.record import atomic_write
from harness.taskfiles import TaskFile, find_task_file

if TYPE_CHECKING:
    from harness.matrix import Cell
    from harness.model import BaseModel

#: versions that can change how a prompt is rendered or a data set is read
_RENDERING = ("lm_eval", "datasets", "jinja2", "transformers", "tokenizers")


@dataclass(frozen=True)
class TaskFacts:
    """One task as one model sees it, on one split."""

    meta: dict[str, Any]
    train: str
    """hash of the rendered training pairs; empty where there is no training split"""
    requests: str
    """hash of the rendered test requests"""
    references: str
    metric_code: str
    """hash of the task's own scoring: its Python files and what its YAML says of metrics"""
    train_examples: int
    train_tokens: int
    test_samples: int
    test_tokens: int
    """prompt tokens of all distinct test prompts together"""
    generates: bool
    longest_answer: int
    """most new tokens a test sample may take (generation only)"""
    notes: tuple[str, ...] = ()


def task_facts(cell: Cell, folders: Sequence[Path], data_dir: Path | None, base: BaseModel, trains: bool) -> TaskFacts:
    """The facts of a cell's task; from the cache where that is safe. Raises `UserError` for everything wrong with the task that a
    cell would stumble over later."""
    file = find_task_file(cell.task, folders)
    remembered = _store(cell, file, data_dir, base)
    if remembered is not None and remembered.exists():
        try:
            facts = TaskFacts(**_listed(json.loads(remembered.read_text(encoding="utf-8"))))
        except (ValueError, TypeError):
            pass
        else:
            if not (trains and not facts.train):
                return facts
    facts = _observe(cell, folders, data_dir, base, trains)
    if remembered is not None and (facts.train or not trains):
        with contextlib.suppress(UserError):  # a cache that cannot be written only costs the rendering again
            atomic_write(remembered, json.dumps(asdict(facts), ensure_ascii=False))
    return facts


def _listed(raw: dict) -> dict:
    return raw | {"notes": tuple(raw["notes"])}


def _store(cell: Cell, file: TaskFile | None, data_dir: Path | None, base: BaseModel) -> Path | None:
    """Where the facts are remembered; None for tasks whose data may change behind our back."""
    if file is None or data_dir is not None or not file.path.is_relative_to(shipped("tasks").resolve()):
        return None
    key = digest(
        [
            cell.task,
            cell.data,
            cell.max_new_tokens,
            file.fingerprint(),
            base.tokenizer_sha256,
            cell.split,
            cell.test_limit,
            versions(_RENDERING),
            engine_code("task", "taskmeta", "taskfiles", "facts", "constraints", "instruction_scores"),
        ]
    )
    return cache_folder() / "facts" / f"{key[:32]}.json"


def _observe(cell: Cell, folders: Sequence[Path], data_dir: Path | None, base: BaseModel, trains: bool) -> TaskFacts:
    from harness.loading import load_task
    from harness.model import chat_template
    from harness.task import examples_digest, references_digest, requests_digest

    task = load_task(cell.task, folders, data_dir, cell.data, cell.max_new_tokens)
    tokenizer = base.tokenizer()
    template = chat_template(tokenizer) if task.meta.chat_template else None
    examples = task.examples(template) if trains or task.config.training_split else []
    if trains and not examples:
        raise UserError(f"{task.where}: the training split of '{cell.task}' is empty")
    samples = task.samples(template, cell.split, cell.test_limit)
    prompts = list(dict.fromkeys(request.args[0] for sample in samples for request in sample.requests))
    _leave_room(cell, base, tokenizer, prompts)
    generates = task.lm_eval.OUTPUT_TYPE == "generate_until"
    settings = task.config.generation_kwargs or {}
    config = task.file.config if task.file else task.config.to_dict()
    scoring = str([config.get(key) for key in ("output_type", "process_results", "metric_list", "metadata")])
    code = task.file.code() if task.file else ""
    train = examples_digest(examples) if examples else ""
    if train and task.meta.kind == "instruction":  # what a training prompt demands can be learned from, too
        train = digest([train, [constraints_of(doc) for doc in task.docs("train")]])
    return TaskFacts(
        meta=task.meta.model_dump(),
        train=train,
        requests=digest([requests_digest(samples), re.sub(r" at 0x[0-9a-f]+", "", str(task.config.filter_list))]),
        references=references_digest(samples),
        metric_code=digest([code, scoring]),
        train_examples=len(examples),
        train_tokens=_tokens(tokenizer, [e.prompt + e.completion for e in examples]),
        test_samples=len(samples),
        test_tokens=_tokens(tokenizer, prompts),
        generates=generates,
        longest_answer=int(settings.get("max_gen_toks", settings.get("max_new_tokens", 256))) if generates else 0,
        notes=tuple(task.notes),
    )


def _leave_room(cell: Cell, base: BaseModel, tokenizer: Any, prompts: list[str]) -> None:
    """An answer may not take the place of its prompt in the model's context."""
    context = base.config().get("max_position_embeddings")
    if cell.max_new_tokens is None or not isinstance(context, int):
        return
    longest = max(map(len, tokenizer(prompts)["input_ids"]), default=0)
    if longest + cell.max_new_tokens > context:
        most = max(1, context - longest)
        raise UserError(
            f"max_new_tokens {cell.max_new_tokens} of '{cell.task}' leaves no room for its longest prompt "
            f"({longest} of {context} tokens): {most} at most"
        )


def _tokens(tokenizer: Any, texts: list[str]) -> int:
    return sum(map(len, tokenizer(texts)["input_ids"])) if texts else 0
