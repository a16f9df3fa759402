"""What stands behind the results: the environment, the notes, the exact command, and the words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from harness.record import Record
from reports.groups import Group
from reports.markup import bullets, code_block, listing, safe, table
from reports.results import Run
from reports.wording import plural

_WORDS = {
    "95 % interval": "the range that the true score probably lies in. A test set is a sample: with other samples of the "
    "same kind the score would differ a little. Of 100 such intervals about 95 hold the true score. When the intervals of "
    "two methods overlap, a difference between them may be luck.",
    "Accuracy": "the share of test samples that are answered rightly, from 0 to 1.",
    "Budget": "what every method may spend on adapting the model, the same for all, so that none wins by spending more.",
    "Chance": "the score that guessing would get on average. Compare every score with it, not with 0.",
    "Confusion matrix": "a table that counts, for each true class, what was answered. Right answers lie on the diagonal.",
    "FLOP": "one floating-point operation, an addition or a multiplication; the unit in which compute is counted here. 5e12 "
    "is short for 5 followed by 12 zeros.",
    "Full fine-tuning": "training all numbers (parameters) of the model on examples. The result is a whole new model to store.",
    "LoRA": "low-rank adaptation: the model stays as it is, and small extra matrices beside its layers are trained. Only "
    "these are stored.",
    "Loss": "how badly the model predicts its training examples; training lowers it. A low loss does not promise a good "
    "test score.",
    "Macro-F1": "for each class, F1 joins two shares (how many of its samples are found, how many of its answers are "
    "right); macro-F1 is the mean over the classes, so that rare classes count as much as common ones. From 0 to 1.",
    "Majority": "a baseline that reads nothing and always gives the most frequent answer of the training examples.",
    "MCC": "Matthews correlation coefficient: the agreement of answers and truth, from -1 over 0 (no better than guessing) "
    "to 1; fair where classes differ in size.",
    "Seed": "the number that fixes every random choice of a training run. Other seeds give other models from the same method.",
    "TF-IDF": "a classical way without a language model: a text becomes counts of its words, rare words weigh more, and a "
    "simple classifier learns from these.",
    "Entity": "a stretch of a text that names something of a given type: a person, a date, a medication.",
    "Entity F1": "precision is the share of the entities that were given that are right, recall the share of the right ones "
    "that were given; F1 joins the two, over all samples together. Right means: the type and both ends.",
    "Constraint": "something that a prompt demands and a program can check: fewer than 40 words, three bullets, no comma. "
    "Prompts obeyed: the share of prompts (of those with constraints) whose answer obeys all; constraints obeyed: the share of "
    "all constraints. Loosely: also where it holds without the answer's first or last line or without asterisks (IFEval).",
    "Likelihood of the reference": "the probability that the model gives each token of a well-written answer, as a geometric "
    "mean over all of them, from 0 to 1. It says how near the model's own manner is to that of the "
    "references, without asking it to write.",
    "Repetition": "the share of runs of four words in an answer that occurred before in it: 0 is none, near 1 is a loop.",
    "Zero-shot": "asking the model as it is, without any training on the task. The question may show what an answer looks "
    "like, but has no examples from the training data.",
}
_REVISION = "code revision"


def words() -> str:
    """The glossary."""
    return bullets([f"**{word}**: {said}" for word, said in sorted(_WORDS.items(), key=lambda item: item[0].lower())])


def _flat(prefix: str, value: object) -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield from _flat(f"{prefix} · {key}" if prefix else str(key), value[key])
    elif value is not None:
        yield prefix, str(value)


def _facts(provenance: Mapping[str, Any]) -> dict[str, str]:
    """What a result may depend on, flat: hardware, packages, code revision."""
    kept = {
        "hardware": provenance.get("hardware"),
        "package": provenance.get("packages"),
        _REVISION: provenance.get("code_revision"),
    }
    return dict(pair for name, value in kept.items() for pair in _flat(name, value))


def _values(groups: Iterable[Group]) -> dict[str, dict[str, int]]:
    """Fact -> value -> number of records."""
    found: dict[str, dict[str, int]] = {}
    for group in groups:
        for record in group.records:
            for name, value in _facts(record.provenance).items():
                counts = found.setdefault(name, {})
                counts[value] = counts.get(value, 0) + 1
    return found


def mixed(groups: Iterable[Group]) -> list[str]:
    """The facts of the environment (escaped) in which records differ; empty where all come from one environment. The code's
    revision is not one of them: what in it can change a result is in the records' keys."""
    return [safe(name) for name, counts in _values(groups).items() if len(counts) > 1 and name != _REVISION]


def _task(record: Record) -> Mapping[str, Any]:
    stated = record.provenance.get("task")
    return stated if isinstance(stated, Mapping) else {}


def mixed_caution(group: Group) -> str:
    """A sentence for a group whose records come from several environments; empty where they come from one."""
    differing = mixed([group])
    tests = {
        json.dumps([_task(record).get(key) for key in ("requests", "references")]) for record in group.records if _task(record)
    }
    if len(tests) > 1:
        return (
            "**These records were not scored on the same test data or prompts** (the task has changed between them): their "
            "scores may not be compared. Run the matrix again, or remove the older cells."
        )
    if not differing:
        return ""
    return (
        f"These records come from more than one environment (they differ in {listing(differing)}), which alone can move a "
        "score by a point or two: rank them with care, or run them again in one place."
    )


def environment(groups: list[Group]) -> str:
    """Hardware, packages and code as the records tell them, and the base models."""
    values = _values(groups)
    if not values:
        return "The records say nothing of the environment that they come from."
    differing = mixed(groups)
    lines = []
    for name, counts in values.items():
        often = [f" ({plural(number, 'record')})" if len(counts) > 1 else "" for number in counts.values()]
        said = "; ".join(safe(value) + times for value, times in zip(counts, often, strict=True))
        lines.append({"what": safe(name), "value": said})
    said = "All records come from one environment."
    if differing:
        said = (
            "**The records come from more than one environment**: they differ in "
            f"{listing(differing)}. Scores from different environments should not be ranked against "
            "each other without saying so."
        )
    if len(values.get(_REVISION, ())) > 1:
        said += " They were made by more than one revision of this program."
    return f"{said}\n\n{table(pd.DataFrame(lines))}\n\n{_models(groups)}\n\n{_data(groups)}".rstrip()


def _models(groups: Iterable[Group]) -> str:
    found: dict[str, None] = {}
    for group in groups:
        for record in group.records:
            model = record.provenance.get("model")
            if isinstance(model, Mapping) and model:
                parts = [
                    f"{safe(key)} {safe(value)}" for key, value in model.items() if key != "name" and value not in (None, "")
                ]
                found.setdefault(f"Base model **{safe(model.get('name', record.cell.model))}**: {'; '.join(parts)}.", None)
    return bullets(list(found))


def _data(groups: Iterable[Group]) -> str:
    """One line a task: version, licence, sizes, hashes."""
    found: dict[str, None] = {}
    for group in groups:
        facts = [
            ("version", group.fact("version")),
            ("licence", group.fact("licence")),
            ("training examples", group.fact("train_examples")),
            ("test samples", group.fact("test_samples")),
        ]
        stated: Mapping[str, Any] = next(
            (r.provenance["task"] for r in group.records if isinstance(r.provenance.get("task"), Mapping)), {}
        )
        parts = [f"{safe(name)} {safe(value)}" for name, value in [*facts, *_flat("", stated)] if value is not None]
        if parts:
            found.setdefault(f"Task **{safe(group.task)}**: {'; '.join(parts)}.", None)
    return bullets(list(found))


def notes(run: Run, groups: Iterable[Group]) -> str:
    """What the run and its records say that a reader of the numbers should know; each note once, with whom it is about."""
    lines = [safe(note, 500) for note in run.notes]
    if run.fault:
        lines.append(safe(run.fault, 300))
    about: dict[str, dict[str, None]] = {}
    earlier = 0
    for group in groups:
        for row in group.rows:
            for entry in row.entries:
                earlier += not entry.asked
                for note in entry.record.notes if entry.record else ():
                    about.setdefault(note, {}).setdefault(f"{safe(group.title)}, {safe(row.label, 80)}", None)
    lines += [f"{safe(note, 500)} ({listing(list(where), limit=6)})" for note, where in about.items()]
    if earlier:
        lines.append(f"Cells marked “earlier run” ({earlier}) lie in this folder and were not asked for by the latest run.")
    return bullets(lines) or "None."


def command(run: Run, groups: Iterable[Group]) -> str:
    """The exact command, from the run, else from the records."""
    stated = {str(r.provenance["command"]): None for group in groups for r in group.records if r.provenance.get("command")}
    commands = [run.command] if run.command else list(stated)
    return "\n\n".join(code_block(one) for one in commands) or "No command is recorded."
