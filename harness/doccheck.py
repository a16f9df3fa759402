"""The documents of a task by themselves and beside each other: what is wrong with any of them, with file and line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from harness import constraints, entities
from harness.contamination import content
from harness.errors import UserError, one_line
from harness.faults import DocFinder, Findings, own_line
from harness.model import BaseModel, chat_template
from harness.similar import plain, similar_pairs
from harness.task import Task

SPLITS = ("train", "validation", "test")
#: what to do about a fault of an entity, by a word of what `entities.fault` says
_MENDS = {
    "declared": "declare it there, or correct it",
    "outside": "correct start and end (end is exclusive)",
    "cuts": "move start and end to where words begin and end",
    "semicolon": "shorten it, or take it out",
    "overlaps": "keep one of the two",
}


@dataclass
class Seen:
    """The documents of the splits that could be read, and the numbers of those that can be asked and scored."""

    docs: dict[str, Any] = field(default_factory=dict)
    good: dict[str, list[int]] = field(default_factory=dict)
    constant: bool = False
    """whether prompts do not depend on the document"""

    def part(self, task: Task) -> Task:
        """The task with its good documents only."""
        chosen = {}
        for split, numbers in self.good.items():
            docs = self.docs[split]
            chosen[split] = docs.select(numbers) if hasattr(docs, "select") else [docs[number] for number in numbers]
        return replace(task, _docs=chosen)


def check_documents(task: Task, finder: DocFinder, found: Findings) -> Seen:
    """Every document by itself."""
    seen = Seen()
    for split in SPLITS:
        try:
            seen.docs[split] = task.docs(split)
        except UserError as error:
            if "has no" not in str(error):  # a split that is not named was told already
                found.fault(finder.split(split), one_line(str(error).removeprefix(f"{task.where}: ")))
            continue
        except Exception as error:  # noqa: BLE001 (a task's own code)
            said = f"the {split} split cannot be read: {type(error).__name__}: {one_line(error)}"
            where = own_line(task.file, error) or finder.split(split)
            found.fault(where, f"{said}: mend that, or set the split to one that the data have")
            continue
        _check_split(task, split, finder, seen, found)
    return seen


def _check_split(task: Task, split: str, finder: DocFinder, seen: Seen, found: Findings) -> None:
    docs = seen.docs[split]
    kinds: dict[str, list[tuple[str, str]]] = {}
    prompts: Counter[str] = Counter()
    answers: Counter[str] = Counter()
    good: list[int] = []
    hidden: list[int] = []
    unsaid: list[int] = []
    for number, doc in enumerate(docs):
        faults = list(_faults(task, doc, split, prompts))
        for kind, said in faults:
            where = finder.place(split, number, doc)
            kinds.setdefault(kind, []).append((where, f"document {number} of the {split} split: {said}"))
        if not faults:
            gold = task.gold(doc, split, number, checked=True)
            (hidden if gold is None else good).append(number)
            if task.meta.kind == "entities" and entities.unreadable(doc, task.meta.entity_types):
                unsaid.append(number)
            answers[str(gold)] += gold is not None
    for some in kinds.values():
        found.several(some)
    if hidden and split == "test" and len(hidden) == len(docs):
        found.remarks.append("no document of the test split has an answer: cells will be unscored")
    else:
        said = f"of the {split} split has no answer: fill it in, or take it out"
        found.several([(finder.place(split, number, docs[number]), f"document {number} {said}") for number in hidden])
    if unsaid:  # no fault of the task where the data are somebody else's; no method can score 1 there
        first = finder.place(split, unsaid[0], docs[unsaid[0]])
        said = entities.unreadable(docs[unsaid[0]], task.meta.entity_types)
        found.remarks.append(f"{first}: document {unsaid[0]} of the {split} split: {said} ({len(unsaid)} like this)")
    seen.good[split] = good
    for name, counted, applies in (
        ("prompt", prompts, not seen.constant),
        ("answer", answers, task.meta.kind == "generation" and split == "train"),
    ):
        if applies and len(docs) > 1 and len(counted) == 1 and not kinds and counted.total() == len(docs):
            key = "doc_to_text" if name == "prompt" else "doc_to_target"
            said = f"all {len(docs)} {name}s of the {split} split are the same"
            found.fault(finder.key(key), f"{said}: does {key} name a column ({{{{column}}}})?")
            seen.constant |= name == "prompt"


def _faults(task: Task, doc: dict, split: str, prompts: Counter[str]) -> Iterator[tuple[str, str]]:
    """(kind, words) of what is wrong with one document."""
    try:
        prompt = task.text(doc)
    except Exception as error:  # noqa: BLE001 (a task's own template)
        yield "prompt", f"doc_to_text raises {type(error).__name__}: {one_line(error, 120)}: mend it, or the row"
        return
    prompts[prompt] += 1
    if not prompt.strip() or _without_text(task, doc):
        yield "empty", "its prompt is empty: fill its text in, or take it out"
    faulty = [*_entity_faults(task, doc), *_constraint_faults(task, doc)]
    yield from faulty
    if faulty:
        return
    try:
        target = task.lm_eval.doc_to_target(doc)
        task.gold(doc, split, 0, checked=True)
    except UserError as error:
        said = str(error).split(f"{split} split ", 1)[-1]
        yield "label", f"{said}; mend the label, or add it to doc_to_choice"
        return
    except Exception as error:  # noqa: BLE001 (a task's own template)
        yield "target", f"doc_to_target raises {type(error).__name__}: {one_line(error, 120)}: mend it, or the row"
        return
    template = task.config.doc_to_target
    column = template.strip("{} ") if isinstance(template, str) and template.startswith("{{") else ""
    if isinstance(target, list) and isinstance(doc.get(column), str):
        yield "list", f"lm-eval reads its answer as a list: name the column itself (doc_to_target: {column})"


def _entity_faults(task: Task, doc: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each entity's first fault; where none has one, what is wrong with them together."""
    if task.meta.kind != "entities":
        return
    try:
        alone = True
        for one in doc["entities"]:
            mention, stated = doc["text"][one["start"] : one["end"]], one.get("text")
            if stated is not None and stated != mention:
                said = f"entity {one['type']} at {one['start']} to {one['end']} says '{one_line(stated, 60)}'"
                yield "offset", f"{said}, the text has '{one_line(mention, 60)}' there: correct start and end"
                alone = False
            elif wrong := entities.fault({"text": doc["text"], "entities": [one]}, task.meta.entity_types):
                yield _with_mend(wrong)
                alone = False
        if alone and (wrong := entities.fault(doc, task.meta.entity_types)):
            yield _with_mend(wrong)
    except (KeyError, TypeError, ValueError) as error:
        yield "entity", f"entities need start, end and type: {type(error).__name__}: {one_line(error, 80)}"


def _without_text(task: Task, doc: Mapping[str, Any]) -> bool:
    """Whether every column that the prompt's template names is empty."""
    template = task.config.doc_to_text
    if not isinstance(template, str):
        return False
    named = [template] if template in doc else [name for name in re.findall(r"\{\{\s*(\w+)", template) if name in doc]
    return bool(named) and all(doc[name] is None or not str(doc[name]).strip() for name in named)


def _with_mend(wrong: str) -> tuple[str, str]:
    kind, mend = next(((word, mend) for word, mend in _MENDS.items() if word in wrong), ("entity", "correct it"))
    return kind, f"{wrong}: {mend}"


def _constraint_faults(task: Task, doc: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if task.meta.kind != "instruction" or not doc.get("constraints"):
        return
    if not isinstance(doc["constraints"], list):
        yield "constraint", "constraints is a list of objects"
        return
    for one in doc["constraints"]:
        if wrong := constraints.constraint_fault(constraints.without_gaps(one)):
            yield "constraint", wrong


def check_overlap(task: Task, finder: DocFinder, seen: Seen, found: Findings) -> None:
    """Documents that stand in two splits, as they are or nearly."""
    texts = {split: [_content(task, doc) for doc in docs] for split, docs in seen.docs.items()}
    for first, second in (("train", "test"), ("train", "validation"), ("validation", "test")):
        same, near = [], []
        for one, other, value in similar_pairs(texts.get(first, []), texts.get(second, [])):
            where = finder.place(second, other, seen.docs[second][other])
            twin = finder.place(first, one, seen.docs[first][one])
            said = f"document {other} of the {second} split is"
            if plain(texts[first][one]) == plain(texts[second][other]):
                same.append((where, f"{said} also in the {first} split ({twin}): keep it in one"))
            else:
                said = f"{said} nearly the same as one of the {first} split ({twin}; similarity {value:.2f})"
                near.append((where, f"{said}: keep both in one split"))
        found.several(same)
        found.several(near)
    for split, some in texts.items():
        if repeated := sum(count - 1 for text, count in Counter(some).items() if text):
            found.remarks.append(f"{repeated} documents of the {split} split stand there more than once")


def _content(task: Task, doc: Mapping[str, Any]) -> str:
    try:
        return content(task, doc)
    except Exception:  # noqa: BLE001 (a prompt that raises was told)
        return ""


def check_lengths(task: Task, finder: DocFinder, seen: Seen, base: BaseModel, found: Findings) -> None:
    """Prompts (with their answers in training, with room for one where it is to be written) that do not fit in the context."""
    context = base.config().get("max_position_embeddings")
    if not isinstance(context, int):
        return
    tokenizer = base.tokenizer()
    try:
        template = chat_template(tokenizer) if task.meta.chat_template else None
    except UserError as error:
        found.fault(finder.key("metadata", "tunebench", "chat_template"), f"{error}; set it to false, or take another model")
        return
    room = int((task.config.generation_kwargs or {}).get("max_gen_toks", 256))
    part = seen.part(task)
    long: list[tuple[str, str]] = []
    for split, numbers in seen.good.items():
        asked: list[tuple[int, str, int]] = []
        if split == "train":
            asked = [(example.doc_id, example.prompt + example.completion, 0) for example in part.examples(template)]
        else:
            for sample in part.samples(template, split) if numbers else ():
                for one in sample.requests:
                    writes = one.request_type == "generate_until"
                    asked.append((sample.doc_id, "".join(a for a in one.args if isinstance(a, str)), room if writes else 0))
        lengths = [len(ids) for ids in tokenizer([text for _, text, _ in asked])["input_ids"]] if asked else []
        told = set()
        for (position, _, extra), length in zip(asked, lengths, strict=True):
            if length + extra > context and position not in told:
                told.add(position)
                number = numbers[position]
                answer = f" with {extra} for the answer" if extra else ""
                said = f"document {number} of the {split} split takes {length} tokens{answer}, more than the {context} of"
                mend = "shorten it, or take a model with a longer context"
                long.append((finder.place(split, number, seen.docs[split][number]), f"{said} {base.name}: {mend}"))
    found.several(long)
