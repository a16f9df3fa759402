"""Tasks are lm-eval tasks: found by name, loaded through its TaskManager, prompted by its templates, with our few extra keys."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import constraints, entities
from harness.errors import UserError, one_line, unknown
from harness.instruction_scores import METRICS as INSTRUCTION_METRICS
from harness.instruction_scores import constraints_of
from harness.keys import digest
from harness.taskfiles import TaskFile, find_task_file, unknown_task
from harness.taskmeta import TaskMeta, check_meta, infer, placeholder

ChatTemplate = Callable[..., str]
#: what lm-eval itself uses to draw few-shot examples
_FEWSHOT_SEED = 1234
#: test documents on which a task's metrics are looked for
_TRIED = 20


@dataclass(frozen=True)
class Example:
    """A training pair, rendered by the templates that evaluation uses."""

    prompt: str
    completion: str
    doc_id: int
    text: str
    """the prompt's own content, without chat markup: what a classical method reads"""
    ends: bool
    """whether the completion is followed by the end of the turn (generation) or not (a choice)"""
    label: str = ""
    """the right choice, or the target text, as the task names it"""


@dataclass
class Sample:
    """One test document with the lm-eval requests that it asks; `reference` is None where the label is hidden."""

    doc_id: int
    doc: dict
    prompt: str
    text: str
    choices: tuple[str, ...]
    reference: str | None
    requests: list[Any]


@dataclass
class Task:
    """An lm-eval task with what the engine needs to know of it."""

    name: str
    lm_eval: Any
    meta: TaskMeta
    file: TaskFile | None
    notes: list[str] = field(default_factory=list)

    @property
    def config(self) -> Any:
        return self.lm_eval.config

    @property
    def where(self) -> str:
        return str(self.file.path) if self.file else f"lm-eval's task {self.name}"

    @functools.cached_property
    def choices(self) -> tuple[str, ...]:
        """The fixed choices of a classification task, else empty."""
        if self.meta.kind != "classification":
            return ()
        return tuple(self.lm_eval.doc_to_choice(self.docs("test")[0]))

    def docs(self, split: str) -> Any:
        """The documents of ``train``, ``validation`` or ``test`` (test falls back to validation, as in lm-eval)."""
        if split == "train":
            name, docs = self.config.training_split, self.lm_eval.training_docs() if self.config.training_split else None
        elif split == "validation":
            name, docs = self.config.validation_split, self.lm_eval.validation_docs() if self.config.validation_split else None
        else:
            name, docs = "test", self.lm_eval.eval_docs
        if docs is None:
            key = "training_split" if split == "train" else f"{split}_split"
            raise UserError(f"{self.where}: task '{self.name}' has no {split} split: set '{key}' in its YAML")
        if len(docs) == 0:
            raise UserError(f"{self.where}: the {split} split '{name}' of task '{self.name}' is empty")
        return docs

    def _context(self, doc: dict, template: ChatTemplate | None) -> Any:
        return self.lm_eval.fewshot_context(
            doc,
            num_fewshot=self.config.num_fewshot or 0,
            apply_chat_template=template is not None,
            chat_template=template,
            gen_prefix=self.lm_eval.doc_to_prefix(doc),
        )

    @contextlib.contextmanager
    def _not_its_own_example(self) -> Any:
        """A training pair must not show its own answer among its few-shot examples. lm-eval leaves the document itself out
        only where shots come from the split that is asked, so it is told that they do."""
        settings = self.lm_eval.fewshot_cfg
        before, settings.split = settings.split, self.config.test_split
        try:
            yield
        finally:
            settings.split = before

    def _requests(self, doc: dict, context: Any, template: ChatTemplate | None, doc_id: int) -> list[Any]:
        made = self.lm_eval.construct_requests(
            doc=doc,
            ctx=context,
            metadata=(self.name, doc_id, 1),
            apply_chat_template=template is not None,
            chat_template=template,
        )
        return made if isinstance(made, list) else [made]

    def _is_choice(self) -> bool:
        return self.lm_eval.OUTPUT_TYPE == "multiple_choice"

    def text(self, doc: dict) -> str:
        text = self.lm_eval.doc_to_text(doc)
        return text if isinstance(text, str) else str(doc)

    def _fault(self, doc: dict) -> str | None:
        """What is wrong with a document's entities or constraints; None where nothing is."""
        if self.meta.kind == "entities":
            return entities.fault(doc, self.meta.entity_types)
        if self.meta.kind != "instruction" or not doc.get("constraints"):
            return None
        if not isinstance(doc["constraints"], list):
            return f"constraints is a list of objects, not {one_line(repr(doc['constraints']), 60)}"
        found = [constraints.constraint_fault(constraints.without_gaps(one)) for one in doc["constraints"]]
        return next((wrong for wrong in found if wrong), None)

    def _gold(self, doc: dict, split: str, doc_id: int) -> int | str | None:
        """The index of the right choice, or the target text; None where the label is hidden. Other labels are refused."""
        target = self.lm_eval.doc_to_text(doc) if self.lm_eval.multiple_input else self.lm_eval.doc_to_target(doc)
        if isinstance(target, list) and self.meta.kind != "instruction":
            target = target[0] if target else None
        if wrong := self._fault(doc):
            raise UserError(f"{self.where}: document {doc_id} of the {split} split: {wrong}")
        if self.meta.kind == "instruction":  # with nothing to compare with there may still be something to obey
            return str(target) if target else "" if constraints_of(doc) else None
        if target is None or target == "" or (target == "None" and None in doc.values()):
            return None
        if not self._is_choice():
            return str(target)
        choices = self.lm_eval.doc_to_choice(doc)
        if isinstance(target, str) and target in choices:
            return choices.index(target)
        if target in (-1, "-1"):  # how the Hub's data sets hide a label
            return None
        if isinstance(target, int) and not isinstance(target, bool) and 0 <= target < len(choices):
            return target
        shown = ", ".join(map(str, choices[:8]))
        raise UserError(f"{self.where}: document {doc_id} of the {split} split has label {target!r}, which is none of: {shown}")

    def examples(self, template: ChatTemplate | None, split: str = "train") -> list[Example]:
        """The split's documents as training pairs. `template` renders chat messages (None: no chat template)."""
        if self.lm_eval.OUTPUT_TYPE not in ("multiple_choice", "generate_until"):
            raise UserError(f"{self.where}: output_type {self.lm_eval.OUTPUT_TYPE} has no prompt and completion to train on")
        found = []
        self.lm_eval.set_fewshot_seed(_FEWSHOT_SEED)
        for doc_id, doc in enumerate(self.docs(split)):
            gold = self._gold(doc, split, doc_id)
            if gold is None or gold == "":
                raise UserError(f"{self.where}: document {doc_id} of the {split} split has no label")
            with self._not_its_own_example():
                context = self._context(doc, template)
            if self._is_choice():
                assert isinstance(gold, int)
                prompt, completion = self._requests(doc, context, template, doc_id)[gold].args
            else:
                delimiter = "" if template else self.config.target_delimiter
                prompt, completion = context, f"{delimiter}{gold}"
            label = str(self.lm_eval.doc_to_choice(doc)[gold] if isinstance(gold, int) else gold)
            ends = not self._is_choice()
            found.append(Example(prompt, completion, doc_id, self.text(doc), ends, label))
        return found

    def samples(self, template: ChatTemplate | None, split: str = "test", limit: int | None = None) -> list[Sample]:
        """The split's documents as requests. `limit` takes a fixed pseudo-random subset, the same for every method."""
        docs = self.docs(split)
        chosen: Sequence[int] = range(len(docs))
        if limit is not None and limit < len(docs):
            ranked = sorted(chosen, key=lambda i: hashlib.sha256(f"{self.name}:{i}".encode()).digest())
            chosen = sorted(ranked[:limit])
        self.lm_eval.set_fewshot_seed(_FEWSHOT_SEED)
        found = []
        for doc_id in chosen:
            doc = docs[doc_id]
            gold = self._gold(doc, split, doc_id)
            context = self._context(doc, template)
            choices = tuple(self.lm_eval.doc_to_choice(doc)) if self._is_choice() else ()
            found.append(
                Sample(
                    doc_id=doc_id,
                    doc=doc,
                    prompt=context if isinstance(context, str) else "\n".join(context),
                    text=self.text(doc),
                    choices=choices,
                    reference=choices[gold] if isinstance(gold, int) else gold,
                    requests=self._requests(doc, context, template, doc_id),
                )
            )
        return found


def requests_digest(samples: Sequence[Sample]) -> str:
    """Hash of everything that a predictor is asked, decoding settings included."""
    return digest([[sample.doc_id, [request.args for request in sample.requests]] for sample in samples])


def examples_digest(examples: Sequence[Example]) -> str:
    return digest([[e.prompt, e.completion, e.text, e.ends, e.label] for e in examples])


def references_digest(samples: Sequence[Sample]) -> str:
    """Hash of all that answers are held to: right choices or texts, and constraints where there are any."""
    held = [(sample, constraints_of(sample.doc) if isinstance(sample.doc.get("constraints"), list) else []) for sample in samples]
    return digest([[one.doc_id, one.reference, list(one.choices), *([bound] if bound else [])] for one, bound in held])


def in_catalogue(name: str) -> bool:
    """Whether lm-eval's own catalogue has a task of this name (reading it takes about 6 s)."""
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
    """A task by name: from `folders` (the first that has it wins), else from lm-eval's own catalogue (about 6 s more). `data` are
    keywords for its data source (lm-eval's ``--metadata``), `max_new_tokens` takes the place of its own limit on an answer."""
    file = find_task_file(name, folders)
    meta = check_meta(file) if file else None
    with quiet():
        from lm_eval.tasks import TaskManager

        extra = {**dict(data), **({"data_dir": str(data_dir)} if data_dir else {})} or None
        if file:
            manager = TaskManager(include_path=[str(file.path.parent)], include_defaults=False, metadata=extra)
        else:
            manager = TaskManager(metadata=extra)
            if name not in manager.all_subtasks:
                raise unknown_task(name, folders, manager.all_subtasks)
        where = str(file.path) if file else f"lm-eval's task {name}"
        try:
            loaded = manager.load(name)["tasks"][name]
        except UserError:
            raise
        except IndexError as error:
            if "size 0" not in str(error):
                why = "its first test document's answer is none of its choices, or a column is shorter than it should be"
                raise UserError(f"{where}: task '{name}' does not load: {why} ({one_line(error)})") from error
            # lm-eval looks at the first test document while it loads
            raise UserError(f"{where}: task '{name}' does not load: its test split is empty") from error
        except Exception as error:  # whatever a task's own data source raises is the user's to mend
            raise UserError(f"{where}: task '{name}' does not load: {type(error).__name__}: {one_line(error)}") from error
    task = Task(name, loaded, meta or placeholder(), file)
    if meta is None:
        task.meta, task.notes = infer(loaded)
        task.notes = [f"task '{name}' states no metadata.tunebench; inferred: {note}" for note in task.notes]
    known = set(loaded.aggregation())
    if task.meta.main_metric not in known:
        place = file.where("metadata", "tunebench", "main_metric") if file else where
        raise UserError(f"{place}: {unknown('metric', task.meta.main_metric, known)}")
    if max_new_tokens is not None and loaded.OUTPUT_TYPE == "generate_until":
        loaded.set_config("generation_kwargs", {"max_gen_toks": max_new_tokens}, update=True)
    _check_metrics(task)
    return task


def _check_metrics(task: Task) -> None:
    """Every metric that a task declares must be one that its scoring gives, and be aggregated somehow: tried on the first
    test documents with an empty answer (a scoring function that cannot take one is left for later)."""
    where = task.file.where("metric_list") if task.file else task.where
    for name, aggregate in task.lm_eval.aggregation().items():
        if aggregate is None:
            raise UserError(f"{where}: metric '{name}' has an aggregation that lm-eval does not know")
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


@contextlib.contextmanager
def quiet() -> Any:
    """lm-eval, datasets and transformers without their warnings and bars: what matters of them is raised as an error."""
    import datasets
    import transformers
    from tqdm import tqdm

    tqdm.set_lock(threading.RLock())  # its own would be a semaphore that a killed process leaks
    datasets.disable_progress_bars()
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    names = ("lm_eval", "datasets", "transformers", "huggingface_hub", "trl", "accelerate", "peft")
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
