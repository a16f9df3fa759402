"""Where methods answer differently, sample by sample. Text is shown only where the task allows its text to be passed on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.record import DamagedRecord, read_samples
from reports import wording
from reports.groups import Group
from reports.markup import bullets, listing, safe, table

EXAMPLES = 8
_TEXT = 280
_ANSWER = 120
_EXACT_KINDS = ("classification", "multiple_choice")
Sample = Mapping[str, Any]


@dataclass(frozen=True)
class Answers:
    """The samples of one method (of its lowest seed), by ``doc_id``."""

    label: str
    samples: Mapping[str, Sample]


@dataclass(frozen=True)
class Comparison:
    """Methods, best first, on the samples that all of them answered."""

    methods: tuple[Answers, ...]
    doc_ids: tuple[str, ...]
    right: Mapping[tuple[str, str], bool | None]
    """(label, doc_id) -> whether the answer is right; None where that cannot be said"""

    @property
    def judged(self) -> list[str]:
        """The samples on which every method's answer is known to be right or wrong."""
        return [d for d in self.doc_ids if all(self.right[m.label, d] is not None for m in self.methods)]

    def differing(self, methods: Sequence[Answers]) -> list[str]:
        """The samples to which `methods` do not all give the same answer."""
        return [d for d in self.doc_ids if len({str(method.samples[d].get("prediction")) for method in methods}) > 1]


def correct(sample: Sample, kind: str, metric: str) -> bool | None:
    """Whether an answer is right; None where that cannot be said: no reference, or no score of its own for this sample."""
    if sample.get("reference") is None:
        return None
    if kind in _EXACT_KINDS:
        return bool(sample.get("prediction") == sample["reference"])
    scores = sample.get("scores")
    value = scores.get("exact_match" if kind == "entities" else metric) if isinstance(scores, dict) else None
    return value >= 1 if isinstance(value, (int, float)) else None


def read_answers(group: Group) -> tuple[tuple[Answers, ...], list[str]]:
    """Every evaluated method's samples, best method first, and what could not be read."""
    found, faults = [], []
    for row in [*(row for row, _ in group.ranked()), *group.unranked()]:
        for entry in row.evaluated[:1]:
            assert entry.folder is not None
            try:
                lines = read_samples(entry.folder)
            except (DamagedRecord, OSError, UnicodeDecodeError) as error:
                reason = str(error).replace(f"{entry.folder.parent}/", "")
                faults.append(f"The samples of **{safe(row.label, 80)}** cannot be read: {safe(reason)}.")
                continue
            samples = {str(line["doc_id"]): line for line in lines if isinstance(line, dict) and "doc_id" in line}
            if samples:
                found.append(Answers(row.label, samples))
    return tuple(found), faults


def _order(doc_id: str) -> tuple[int, str]:
    return (int(doc_id), "") if doc_id.isdecimal() and len(doc_id) < 18 else (10**18, doc_id)


def disagreements(group: Group) -> str:
    """The section's markdown: counts, the matrix of pairs, and examples."""
    methods, faults = read_answers(group)
    if len(methods) < 2:
        return "\n\n".join(["There are not two methods with stored answers here, so there is nothing to compare.", *faults])
    doc_ids = sorted(set.intersection(*(set(method.samples) for method in methods)), key=_order)
    if not doc_ids:
        return "\n\n".join(["The methods answered no sample in common, so there is nothing to compare.", *faults])
    kind = str(group.fact("kind") or "")
    right = {(m.label, d): correct(m.samples[d], kind, group.main_metric) for m in methods for d in doc_ids}
    comparison = Comparison(methods, tuple(doc_ids), right)
    several = any(len(row.evaluated) > 1 for row in group.rows)
    return "\n\n".join([_counts(comparison, several), _pairs(comparison), _examples(group, comparison), *faults])


def _counts(found: Comparison, several_seeds: bool) -> str:
    samples, differ = wording.plural(len(found.doc_ids), "sample"), len(found.differing(found.methods))
    who = "Both" if len(found.methods) == 2 else f"All {len(found.methods)}"
    lines = [f"{who} methods answered {samples}; on {wording.count(differ)} of them the answers differ."]
    judged = found.judged
    if judged:
        every = sum(all(found.right[m.label, d] for m in found.methods) for d in judged)
        none = sum(not any(found.right[m.label, d] for m in found.methods) for d in judged)
        some = len(judged) - every - none

        def said(number: int) -> str:
            return f"{wording.count(number)} ({wording.share(number, len(judged))})"

        lines += [
            f"All methods were right on {said(every)}: these samples do not tell the methods apart.",
            f"No method was right on {said(none)}: hard samples, unclear ones, or wrong references.",
            f"Some were right and some were wrong on {said(some)}.",
        ]
    else:
        lines.append(
            "Right and wrong cannot be told sample by sample: references are hidden, or the metric judges all samples together."
        )
    if several_seeds:
        lines.append("Where a method has several seeds, the answers of its lowest one are taken.")
    return bullets(lines)


def _letter(number: int) -> str:
    return chr(ord("A") + number) if number < 26 else f"A{number}"


def _pairs(found: Comparison) -> str:
    judged = found.judged
    lines = []
    for i, one in enumerate(found.methods):
        line = {"": _letter(i), "method": safe(one.label, 80)}
        for j, other in enumerate(found.methods):
            if i == j:
                number = wording.NONE
            elif judged:
                number = wording.count(sum(bool(found.right[one.label, d]) and not found.right[other.label, d] for d in judged))
            else:
                number = wording.count(len(found.differing([one, other])))
            line[_letter(j)] = number
        lines.append(line)
    made = table(pd.DataFrame(lines), right={_letter(i) for i in range(len(found.methods))})
    if judged:
        said = (
            "Each field counts the samples that the method of its row got right and the method of its column got wrong. "
            "Compare a field with its mirror image across the diagonal: two large, nearly equal numbers mean that the two "
            "methods fail on different samples, but about equally often."
        )
    else:
        said = "Each field counts the samples to which the two methods gave different answers."
    return f"{made}\n\n{said}"


def _digest(text: object) -> str:
    return "text with SHA-256 " + hashlib.sha256(str(text).encode("utf-8", "replace")).hexdigest()[:16]


def _shown(value: object, group: Group) -> str:
    """An answer or a reference: as it is where text may be passed on or it is one of the task's fixed choices, else its hash."""
    if value is None:
        return "*none*"
    choices = group.fact("choices")
    fixed = isinstance(choices, (list, tuple)) and group.fact("kind") == "classification" and value in choices
    if group.may_show_text or fixed:
        return safe(value, _ANSWER) or "*empty*"
    return _digest(value)


def _chosen(found: Comparison) -> list[str]:
    """The samples that split the methods most evenly into right and wrong, then the others that differ, in order."""

    def unevenness(doc_id: str) -> float:
        return abs(sum(bool(found.right[m.label, doc_id]) for m in found.methods) - len(found.methods) / 2)

    return sorted(found.differing(found.methods), key=lambda d: (unevenness(d), *_order(d)))[:EXAMPLES]


def _text(sample: Sample) -> object:
    """What the sample is about: of entities the text that they stand in, else the prompt's own content."""
    entities = sample.get("entities")
    inner = entities.get("text") if isinstance(entities, Mapping) else None
    return inner or sample.get("text") or sample.get("prompt")


def _examples(group: Group, found: Comparison) -> str:
    chosen = _chosen(found)
    if not chosen:
        return "All methods gave the same answers."
    many = wording.plural(len(chosen), "sample")
    parts = [f"{many} on which the methods differ; those that split them most evenly come first, so this is not a random choice."]
    if not group.may_show_text:
        parts[0] += " The text of this task may not be passed on (or nothing says that it may), so its hash stands in its place."
    words = {True: "right", False: "wrong", None: wording.NONE}
    for doc_id in chosen:
        first = found.methods[0].samples[doc_id]
        text = _text(first)
        if text is None:
            stored = first.get("text_sha256")
            shown = f"text {stored[:12]}" if isinstance(stored, str) else "its text is not stored"
        else:
            shown = f"“{safe(text, _TEXT)}”" if group.may_show_text else _digest(text)
        answers: dict[str, list[str]] = {}
        verdicts: dict[str, set[str]] = {}
        for method in found.methods:
            answer = _shown(method.samples[doc_id].get("prediction"), group)
            answers.setdefault(answer, []).append(safe(method.label, 80))
            verdicts.setdefault(answer, set()).add(words[found.right[method.label, doc_id]])
        lines = [
            {"answer": answer, "right or wrong": listing(sorted(verdicts[answer])), "given by": "; ".join(names)}
            for answer, names in answers.items()
        ]
        reference = "hidden" if first.get("reference") is None else _shown(first["reference"], group)
        parts += [f"**Sample {safe(doc_id, 60)}**: {shown}", f"Right answer: {reference}", table(pd.DataFrame(lines))]
    return "\n\n".join(parts)
