"""The documents of a task by themselves and beside each other: what is wrong with any of them, with file and line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from harness import constraints, entities
from harness.contamination import content
from harness.errors import UserError, one_line
from harness.faults import DocFinder, Findings
from harness.model import BaseModel, chat_template
from harness.similar import similar_pairs
from harness.task import Task

SPLITS = ("train", "validation", "test")


def check_documents(task: Task, finder: DocFinder, found: Findings) -> tuple[dict[str, Any], bool]:
    """Every document by itself; returns the splits that could be read, and whether all of them can be asked and scored."""
    docs: dict[str, Any] = {}
    sound = True
    for split in SPLITS:
        try:
            docs[split] = task.docs(split)
        except UserError as error:
            sound = False
            if "has no" not in str(error):  # a split that is not named was told already
                found.fault(finder.split(split), one_line(str(error).removeprefix(f"{task.where}: ")))
            continue
        except Exception as error:  # noqa: BLE001 (a task's own code)
            sound = False
            found.fault(finder.split(split), f"the {split} split cannot be read: {type(error).__name__}: {one_line(error)}")
            continue
        sound &= _check_split(task, split, docs[split], finder, found)
    return docs, sound


def _check_split(task: Task, split: str, docs: Any, finder: DocFinder, found: Findings) -> bool:
    kinds: dict[str, list[tuple[str, str]]] = {}
    prompts: Counter[str] = Counter()
    hidden = 0
    for number, doc in enumerate(docs):
        faults = list(_faults(task, doc, split, prompts))
        for kind, said in faults:
            where = finder.place(split, number, doc)
            kinds.setdefault(kind, []).append((where, f"document {number} of the {split} split: {said}"))
        hidden += not faults and task.gold(doc, split, number) is None
    for some in kinds.values():
        found.several(some)
    if len(docs) > 1 and len(prompts) == 1 and not kinds:
        said = f"all {len(docs)} prompts of the {split} split are the same"
        found.fault(finder.key("doc_to_text"), f"{said}: does doc_to_text name a column ({{{{column}}}})?")
    if hidden == len(docs) and split == "test":
        found.remarks.append("no document of the test split has an answer: cells will be unscored")
    elif hidden:
        said = f"{hidden} of {len(docs)} documents of the {split} split have no answer: fill them in, or take them out"
        found.fault(finder.split(split), said)
    return not kinds and not (hidden and split == "train")


def _faults(task: Task, doc: dict, split: str, prompts: Counter[str]) -> Iterator[tuple[str, str]]:
    """(kind, words) of what is wrong with one document."""
    try:
        prompt = task.text(doc)
    except Exception as error:  # noqa: BLE001 (a task's own template)
        yield "prompt", f"doc_to_text raises {type(error).__name__}: {one_line(error, 120)}"
        return
    prompts[prompt] += 1
    if not prompt.strip():
        yield "empty", "its prompt is empty: fill its text in, or take it out"
    yield from _entity_faults(task, doc)
    yield from _constraint_faults(task, doc)
    try:
        target = task.lm_eval.doc_to_target(doc)
        task.gold(doc, split, 0, checked=True)
    except UserError as error:
        said = str(error).split(f"{split} split ", 1)[-1]
        yield "label", f"{said}; mend the label, or add it to doc_to_choice"
        return
    except Exception as error:  # noqa: BLE001 (a task's own template)
        yield "target", f"doc_to_target raises {type(error).__name__}: {one_line(error, 120)}"
        return
    template = task.config.doc_to_target
    column = template.strip("{} ") if isinstance(template, str) and template.startswith("{{") else ""
    if isinstance(target, list) and isinstance(doc.get(column), str):
        yield "list", f"lm-eval reads its answer as a list: name the column itself (doc_to_target: {column})"


def _entity_faults(task: Task, doc: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if task.meta.kind != "entities":
        return
    try:
        for one in doc["entities"]:
            mention, stated = doc["text"][one["start"] : one["end"]], one.get("text")
            if stated is not None and stated != mention:
                said = f"entity {one['type']} at {one['start']} to {one['end']} says '{one_line(stated, 60)}'"
                yield "offset", f"{said}, the text has '{one_line(mention, 60)}' there"
        if wrong := entities.fault(doc, task.meta.entity_types):
            yield "entity", wrong
    except (KeyError, TypeError, ValueError) as error:
        yield "entity", f"entities need start, end and type: {type(error).__name__}: {one_line(error, 80)}"


def _constraint_faults(task: Task, doc: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if task.meta.kind != "instruction" or not doc.get("constraints"):
        return
    if not isinstance(doc["constraints"], list):
        yield "constraint", "constraints is a list of objects"
        return
    for one in doc["constraints"]:
        if wrong := constraints.constraint_fault(constraints.without_gaps(one)):
            yield "constraint", wrong


def check_overlap(task: Task, finder: DocFinder, docs: Mapping[str, Any], found: Findings) -> None:
    """Documents that stand in two splits, as they are or nearly."""
    try:
        texts = {split: [content(task, doc) for doc in docs[split]] for split in SPLITS}
    except Exception:  # noqa: BLE001 (a prompt that raises was told)
        return
    for first, second in (("train", "test"), ("train", "validation"), ("validation", "test")):
        same, near = [], []
        for one, other, value in similar_pairs(texts[first], texts[second]):
            where = finder.place(second, other, docs[second][other])
            twin = finder.place(first, one, docs[first][one])
            said = f"document {other} of the {second} split is"
            if _plain(texts[first][one]) == _plain(texts[second][other]):
                same.append((where, f"{said} also in the {first} split ({twin}): keep it in one"))
            else:
                said = f"{said} nearly the same as one of the {first} split ({twin}; similarity {value:.2f})"
                near.append((where, f"{said}: keep both in one split"))
        found.several(same)
        found.several(near)
    for split in SPLITS:
        if repeated := sum(count - 1 for count in Counter(texts[split]).values()):
            found.remarks.append(f"{repeated} documents of the {split} split stand there more than once")


def _plain(text: str) -> str:
    return " ".join(text.split()).lower()


def check_lengths(task: Task, finder: DocFinder, base: BaseModel, found: Findings) -> None:
    """Prompts (with their answers in training, with room for one in a test) that do not fit in the model's context."""
    context = base.config().get("max_position_embeddings")
    if not isinstance(context, int):
        return
    tokenizer = base.tokenizer()
    template = chat_template(tokenizer) if task.meta.chat_template else None
    generates = task.lm_eval.OUTPUT_TYPE == "generate_until"
    room = int((task.config.generation_kwargs or {}).get("max_gen_toks", 256)) if generates else 0
    long: list[tuple[str, str]] = []
    for split in SPLITS:
        extra = 0 if split == "train" else room
        if split == "train":
            pairs = [(example.doc_id, example.prompt + example.completion) for example in task.examples(template)]
        else:
            pairs = [(s.doc_id, max(map(_asked, s.requests), key=len)) for s in task.samples(template, split)]
        lengths = [len(ids) for ids in tokenizer([text for _, text in pairs])["input_ids"]] if pairs else []
        docs = task.docs(split)
        for (number, _), length in zip(pairs, lengths, strict=True):
            if length + extra > context:
                answer = f" with {extra} for the answer" if extra else ""
                said = f"document {number} of the {split} split takes {length} tokens{answer}, more than the {context} of"
                mend = "shorten it, or take a model with a longer context"
                long.append((finder.place(split, number, docs[number]), f"{said} {base.name}: {mend}"))
    found.several(long)


def _asked(request: Any) -> str:
    """All that a model reads of a request: the prompt, and the continuation that it rates."""
    return "".join(part for part in request.args if isinstance(part, str))
