"""Tasks are lm-eval tasks: its documents and templates as training pairs and test samples, with our few extra keys."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness import constraints, entities
from harness.errors import UserError, one_line
from harness.instruction_scores import constraints_of
from harness.keys import digest
from harness.taskfiles import TaskFile
from harness.taskmeta import TaskMeta

ChatTemplate = Callable[..., str]
#: what lm-eval itself uses to draw few-shot examples
_FEWSHOT_SEED = 1234
#: where a task has no validation split beside its test split: this share of its training documents, at most so many
_SET_ASIDE, _SET_ASIDE_AT_MOST = 0.1, 500
#: more training documents than any budget here reads are not even rendered
_TRAINING_AT_MOST = 20_000


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
    _docs: dict[str, Any] = field(default_factory=dict, repr=False)

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
        """The documents of ``train``, ``validation`` or ``test``. Test falls back to validation, as in lm-eval; where nothing is
        left to choose settings on then, a fixed part of the training documents is the validation split (`set_aside`)."""
        if split not in self._docs:
            if split == "test":
                name, docs = "test", self.lm_eval.eval_docs
            elif split == "validation" and not self._carves:
                name, docs = (
                    self.config.validation_split,
                    self.lm_eval.validation_docs() if self.config.validation_split else None,
                )
            else:
                name, docs = self.config.training_split, self.lm_eval.training_docs() if self.config.training_split else None
            if docs is None:
                key = "training_split" if split == "train" else f"{split}_split"
                raise UserError(f"{self.where}: task '{self.name}' has no {split} split: set '{key}' in its YAML")
            if split != "test":
                docs = self._part(docs, split)
            if len(docs) == 0 and split == "validation" and self._carves:
                said = f"task '{self.name}' has too few training documents to set any aside for validation"
                raise UserError(f"{self.where}: {said}: add some, or a validation split")
            if len(docs) == 0:
                raise UserError(f"{self.where}: the {split} split '{name}' of task '{self.name}' is empty: add documents")
            self._docs[split] = docs
        return self._docs[split]

    @property
    def _carves(self) -> bool:
        """Whether training documents are set aside for validation: there is no validation split, or it is what is tested on."""
        return bool(self.config.training_split) and not (self.config.validation_split and self.config.test_split)

    def _part(self, docs: Any, split: str) -> Any:
        """The training documents without those set aside, or those set aside; never more than can be of use."""
        if not self._carves and (split == "validation" or len(docs) <= _TRAINING_AT_MOST):
            return docs
        ranked = sorted(range(len(docs)), key=lambda i: hashlib.sha256(f"{self.name}:aside:{i}".encode()).digest())
        aside = self._aside(len(docs))
        chosen = sorted(ranked[:aside] if split == "validation" else ranked[aside : aside + _TRAINING_AT_MOST])
        return docs.select(chosen) if hasattr(docs, "select") else [docs[i] for i in chosen]

    def _aside(self, total: int) -> int:
        return min(round(_SET_ASIDE * total), _SET_ASIDE_AT_MOST) if self._carves else 0

    def set_aside(self) -> list[str]:
        """What is done to the training documents, in words: some set aside for validation, some left out."""
        total = len(self.lm_eval.training_docs()) if self.config.training_split else 0
        notes, aside = [], self._aside(total)
        if aside:
            why = "its validation split is what is tested on" if self.config.validation_split else "it has no validation split"
            notes.append(f"task '{self.name}': {why}, so {aside} of {total} training documents are set aside as one")
        if total - aside > _TRAINING_AT_MOST:
            said = (
                f"of {total - aside} training documents a fixed choice of {_TRAINING_AT_MOST} is used, more than a budget reads"
            )
            notes.append(f"task '{self.name}': {said}")
        return notes

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

    def gold(self, doc: dict, split: str, doc_id: int, checked: bool = False) -> int | str | None:
        """The index of the right choice, or the target text; None where the label is hidden. Other labels are refused, and so are
        faulty entities and constraints, unless they are `checked` already."""
        target = self.lm_eval.doc_to_text(doc) if self.lm_eval.multiple_input else self.lm_eval.doc_to_target(doc)
        if isinstance(target, list) and self.meta.kind != "instruction":
            target = target[0] if target else None
        if not checked and (wrong := self._fault(doc)):
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
            gold = self.gold(doc, split, doc_id)
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

    def chosen(self, split: str, limit: int | None = None) -> Sequence[int]:
        """The numbers of a split's documents, or the fixed `limit` of them that a cell is asked."""
        every = range(len(self.docs(split)))
        if limit is None or limit >= len(every):
            return every
        return sorted(sorted(every, key=lambda i: hashlib.sha256(f"{self.name}:{i}".encode()).digest())[:limit])

    def samples(self, template: ChatTemplate | None, split: str = "test", limit: int | None = None) -> list[Sample]:
        """The split's documents as requests. `limit` takes a fixed pseudo-random subset, the same for every method."""
        docs, chosen = self.docs(split), self.chosen(split, limit)
        self.lm_eval.set_fewshot_seed(_FEWSHOT_SEED)
        found = []
        for doc_id in chosen:
            doc = docs[doc_id]
            gold = self.gold(doc, split, doc_id)
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
