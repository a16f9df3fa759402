"""``tunebench tasks new``: a task folder from somebody's file, with fixed splits, prompt, scoring and a datasheet to fill in."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.entities import answer_line, fault, unreadable
from harness.errors import UserError, one_line
from harness.rows import read_rows
from harness.similar import plain, similar_pairs
from harness.taskfiles import find_in_catalogue, find_task_file
from harness.templates import CLASSIFICATION, DATASHEET, ENTITIES, SCORING

#: shares of the rows, and the most that a split is given
_TEST, _VALIDATION = 0.25, 0.15
_TEST_AT_MOST, _VALIDATION_AT_MOST = 2000, 500
#: a label needs so many rows, so that every split has some
_LEAST = 4
_MOST_LABELS = 60
_SPLITS = ("train", "validation", "test")


def new_task(arguments: argparse.Namespace, folders: Sequence[Path]) -> Path:
    """Write the task's folder and return its path. Raises `UserError`, with file and line, for rows that cannot be used."""
    name, source = arguments.name, arguments.source
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise UserError(f"'{name}' is no name for a task: use letters, digits and _, beginning with a letter")
    taken = find_task_file(name, folders) or find_in_catalogue(name)
    if taken is not None:
        raise UserError(f"a task '{name}' exists already ({taken.path}): choose another name")
    if bool(arguments.label) == bool(arguments.entities):
        raise UserError("give one of --label COLUMN (classification) and --entities [COLUMN] (finding entities)")
    home = arguments.to.expanduser() / name
    if home.exists():
        raise UserError(f"{home} exists already: choose another name, or another folder with --to")
    if not arguments.licence.strip() or (arguments.redistribute and arguments.licence.strip().lower() == "unknown"):
        raise UserError("--redistribute passes the text on, so --licence must name the licence that allows it")
    rows = read_rows(source, [arguments.text, arguments.label or arguments.entities])
    docs = _labelled(rows, source, arguments) if arguments.label else _with_entities(rows, source, arguments)
    docs, dropped = _once(docs, "label" if arguments.label else "entities")
    if arguments.label:
        _enough(docs, source, arguments.label)
    if not docs:
        raise UserError(f"{source}:1: no row is left: every text has several answers ({dropped['with several answers']} rows)")
    splits = _split(docs, "label" if arguments.label else "")
    if arguments.label:
        labels = {doc["label"] for doc in docs}
        for split in ("train", "test"):
            if lacking := sorted(labels - {doc["label"] for doc in splits[split]}):
                mend = "its texts are nearly the same, and those stand in one split: add others"
                raise UserError(f"{source}:1: no row of label '{lacking[0]}' is left for the {split} split; {mend}")
    said = _classification(splits, arguments) if arguments.label else _entities(splits, arguments)
    _write(home, name, splits, said, dropped, arguments)
    return home


def _labelled(rows: list[tuple[int, dict]], source: Path, arguments: argparse.Namespace) -> list[dict]:
    docs = []
    for line, row in rows:
        text, label = row.get(arguments.text), row.get(arguments.label)
        for column, value in ((arguments.text, text), (arguments.label, label)):
            if value is None or not str(value).strip():
                raise UserError(f"{source}:{line}: '{column}' is empty: fill it in, or take the row out")
        docs.append({"text": str(text).strip(), "label": str(label).strip()})
    return docs


def _enough(docs: list[dict], source: Path, column: str) -> None:
    """Whether there are enough rows of every label, and neither too few labels nor too many."""
    counts = Counter(doc["label"] for doc in docs)
    if len(counts) == 1:
        raise UserError(f"{source}:1: '{column}' holds one label only ({next(iter(counts))}): nothing can be learnt")
    if len(counts) > _MOST_LABELS:
        raise UserError(f"{source}:1: '{column}' holds {len(counts)} labels, {_MOST_LABELS} at most: is it the label?")
    if rare := [f"{label} ({count})" for label, count in sorted(counts.items()) if count < _LEAST]:
        mend = f"every label needs {_LEAST}: add rows, or join labels"
        raise UserError(f"{source}:1: too few rows of {', '.join(rare[:5])}; {mend}")


def _with_entities(rows: list[tuple[int, dict]], source: Path, arguments: argparse.Namespace) -> list[dict]:
    docs: list[tuple[int, dict]] = []
    for line, row in rows:
        text, listed = row.get(arguments.text), row.get(arguments.entities)
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"{source}:{line}: '{arguments.text}' is empty: fill it in, or take the row out")
        if not isinstance(listed, list):
            raise UserError(f"{source}:{line}: '{arguments.entities}' must be a list of entities (empty where there are none)")
        docs.append((line, {"text": text, "entities": [_entity(one, text, f"{source}:{line}") for one in listed]}))
    types = sorted({one["type"] for _, doc in docs for one in doc["entities"]})
    if not types:
        raise UserError(f"{source}:1: no row has an entity: is '{arguments.entities}' the column?")
    for line, doc in docs:
        if wrong := fault(doc, types) or unreadable(doc, types):
            raise UserError(f"{source}:{line}: {wrong}")
    return [doc for _, doc in docs]


def _entity(one: Any, text: str, where: str) -> dict[str, Any]:
    """An entity as {start, end, type}: of a mapping (its type may be called `label`) or a list [start, end, type]."""
    if isinstance(one, dict):
        start, end, kind, stated = one.get("start"), one.get("end"), one.get("type", one.get("label")), one.get("text")
    elif isinstance(one, list) and len(one) == 3:
        (start, end, kind), stated = one, None
    else:
        raise UserError(f"{where}: an entity is {{start, end, type}} or [start, end, type], not {one_line(repr(one), 60)}")
    if type(start) is not int or type(end) is not int or not isinstance(kind, str):
        said = "an entity needs start and end (whole numbers) and type (a word)"
        raise UserError(f"{where}: {said}, not {one_line(repr(one), 60)}")
    if not re.fullmatch(r"[A-Za-z][\w -]*", kind):
        raise UserError(f"{where}: '{kind}' is no type of an entity: use letters, digits, _ and -")
    if stated is not None and stated != text[start:end]:
        raise UserError(f"{where}: entity {kind} at {start} to {end} says '{stated}', the text has '{text[start:end]}' there")
    return {"start": start, "end": end, "type": kind.upper()}


def _once(docs: list[dict], answer: str) -> tuple[list[dict], dict[str, int]]:
    """Every text once; of texts with more than one answer none. Returns what was left out, by reason."""
    answers: dict[str, set[str]] = {}
    first: dict[str, dict] = {}
    for doc in docs:
        key = plain(doc["text"])
        first.setdefault(key, doc)
        answers.setdefault(key, set()).add(json.dumps(doc[answer], sort_keys=True))
    kept = [doc for key, doc in first.items() if len(answers[key]) == 1]
    several = sum(len(answers[plain(doc["text"])]) > 1 for doc in docs)
    return kept, {"repeated": len(docs) - len(kept) - several, "with several answers": several}


def _split(docs: list[dict], stratum: str) -> dict[str, list[dict]]:
    """Fixed splits by a hash of the text, each label (`stratum`) in the same shares. Texts that are nearly the same go to one."""
    ordered = sorted(docs, key=lambda doc: hashlib.sha256(doc["text"].encode()).digest())
    strata: dict[str, list[dict]] = {}
    for doc in ordered:
        strata.setdefault(doc[stratum] if stratum else "", []).append(doc)
    splits: dict[str, list[dict]] = {split: [] for split in _SPLITS}
    test = min(_TEST, _TEST_AT_MOST / len(docs))
    validation = min(_VALIDATION, _VALIDATION_AT_MOST / len(docs))
    for some in strata.values():
        first = max(1, round(test * len(some)))
        second = first + max(1, round(validation * len(some)))
        splits["test"] += some[:first]
        splits["validation"] += some[first:second]
        splits["train"] += some[second:]
    while _moved(splits):  # what joins a split may itself be like a third one
        pass
    for part in splits.values():
        part.sort(key=lambda doc: hashlib.sha256(f"order {doc['text']}".encode()).digest())
    return splits


def _moved(splits: dict[str, list[dict]]) -> bool:
    """Move texts that are nearly one of an upper split there; whether any was moved."""
    before = {split: len(part) for split, part in splits.items()}
    for upper, lower in (("test", "validation"), ("test", "train"), ("validation", "train")):
        texts = [doc["text"] for doc in splits[lower]]
        near = {position for _, position, _ in similar_pairs([doc["text"] for doc in splits[upper]], texts)}
        splits[upper] += [doc for position, doc in enumerate(splits[lower]) if position in near]
        splits[lower] = [doc for position, doc in enumerate(splits[lower]) if position not in near]
    return before != {split: len(part) for split, part in splits.items()}


def _yaml(template: str, arguments: argparse.Namespace, **gaps: Any) -> str:
    """A template with all its gaps filled at once: names and licence, and text as YAML's double quotes want it."""
    written = {name: _quoted(value) if isinstance(value, (str, list)) else str(value) for name, value in gaps.items()}
    written |= {
        "name": arguments.name,
        "licence": _quoted(arguments.licence),
        "redistribute": str(arguments.redistribute).lower(),
    }
    return re.sub(r"%(\w+)%", lambda gap: written[gap[1].lower()], template)


def _quoted(value: str | list[str]) -> str:
    plain = all(text.isprintable() or text == "\n" for text in "".join(value))
    return json.dumps(value, ensure_ascii=not plain).replace("\x7f", "\\x7f")


def _classification(splits: dict[str, list[dict]], arguments: argparse.Namespace) -> dict[str, str]:
    """The YAML and the scoring of a task of choices."""
    choices = sorted({doc["label"] for part in splits.values() for doc in part})
    listed = f"{', '.join(choices[:-1])} or {choices[-1]}"
    heads = [word if re.fullmatch(r"[\w -]+", word) else "Text" for word in (arguments.text, arguments.label)]
    prompt = f"{heads[0].capitalize()}: {{{{text}}}}\n{heads[1].capitalize()} ({_literal(listed)}):"
    return {
        "yaml": _yaml(CLASSIFICATION, arguments, prompt=prompt, choices=choices, chance=round(1 / len(choices), 4)),
        "scoring": SCORING["classification"].format(constant=tuple(choices)),
        "answers": "One of the labels " + ", ".join(choices) + ".",
    }


def _literal(text: str) -> str:
    """Text that a template shows as it stands."""
    return text.replace("{", "(").replace("}", ")")


def _entities(splits: dict[str, list[dict]], arguments: argparse.Namespace) -> dict[str, str]:
    """The YAML and the scoring of a task of entities. The prompt shows one training text with its answer, which then is no longer
    trained on: without an example, an untuned model cannot know what to write."""
    types = sorted({one["type"] for part in splits.values() for doc in part for one in doc["entities"]})
    fit = [doc for doc in splits["train"] if doc["entities"]]
    if not fit:
        raise UserError(f"{arguments.source}:1: no training text has an entity to show in the prompt: add rows")
    shown = min(fit, key=lambda doc: (-len({one["type"] for one in doc["entities"]}), len(doc["text"])))
    splits["train"].remove(shown)
    prompt = f"{_literal(' '.join(shown['text'].split()))} -> {_literal(answer_line(shown))}\n{{{{text}}}} ->"
    return {
        "yaml": _yaml(ENTITIES, arguments, prompt=prompt, types=types, chance=0),
        "scoring": SCORING["entities"].format(constant=tuple(types)),
        "answers": "Entities of the types " + ", ".join(types) + ", as characters of the text.",
    }


def _write(
    home: Path, name: str, splits: dict[str, list[dict]], said: dict[str, str], dropped: dict[str, int], arguments: Any
) -> None:
    """The folder, all of it or nothing that is left behind half done."""
    files = {
        f"{split}.jsonl": "".join(json.dumps(doc, ensure_ascii=False) + "\n" for doc in part) for split, part in splits.items()
    }
    if lacking := [split for split, part in splits.items() if not part]:
        raise UserError(f"{arguments.source}:1: too few rows to fill the {' and '.join(lacking)} split: add rows")
    sums = "".join(f"{hashlib.sha256(text.encode()).hexdigest()}  {file}\n" for file, text in files.items())
    origin = f"made from {one_line(arguments.source.name)} by `tunebench tasks new`"
    head = f"# {name}, {origin}; what the keys mean: docs/adding-a-task.md\n"
    files[f"{name}.yaml"] = head + said["yaml"]
    files["scoring.py"] = said["scoring"]
    files["SHA256SUMS"] = sums
    left_out = ", ".join(f"{count} {reason}" for reason, count in dropped.items() if count) or "none"
    files["datasheet.md"] = DATASHEET.format(
        name=name, source=arguments.source.name, licence=arguments.licence, answers=said["answers"], left_out=left_out,
        counts="\n".join(f"| {split} | {len(part)} |" for split, part in splits.items()),
    )  # fmt: skip
    home.mkdir(parents=True)
    for file, text in files.items():
        (home / file).write_text(text, encoding="utf-8")
    print(f"made {home}: {', '.join(f'{len(part)} {split}' for split, part in splits.items())}; left out: {left_out}")
