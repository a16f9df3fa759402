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
from reports.markup import bullets, listing, safe, table, visible

EXAMPLES = 8
_TEXT = 280
_ANSWER = 120
_EXACT_KINDS = ("classification", "multiple_choice")
Sample = Mapping[str, Any]


@dataclass(frozen=True)
class Answers:
    """The samples of one method (of its lowest seed), by ``doc_id``."""

    label: str
    seed: int | None
    samples: Mapping[str, Sample]


def correct(sample: Sample, kind: str, metric: str) -> bool | None:
    """Whether an answer is right; None where that cannot be said: no reference, or no score of its own for this sample."""
    if sample.get("reference") is None:
        return None
    if kind in _EXACT_KINDS:
        return sample.get("prediction") == sample["reference"]
    scores = sample.get("scores")
    value = scores.get(metric) if isinstance(scores, dict) else None
    return value >= 1 if isinstance(value, (int, float)) else None


def read_answers(group: Group) -> tuple[list[Answers], list[str]]:
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
                found.append(Answers(row.label, entry.seed, samples))
    return found, faults


def _order(doc_id: str) -> tuple[int, str]:
    return (int(doc_id), "") if doc_id.isdecimal() and len(doc_id) < 18 else (10**18, doc_id)


def disagreements(group: Group) -> str:
    """The section's markdown: counts, the matrix of pairs, and examples."""
    methods, faults = read_answers(group)
    if len(methods) < 2:
        return "\n\n".join(["There are not two methods with stored answers here, so there is nothing to compare.", *faults])
    shared = set.intersection(*(set(method.samples) for method in methods))
    if not shared:
        return "\n\n".join(["The methods answered no sample in common, so there is nothing to compare.", *faults])
    doc_ids = sorted(shared, key=_order)
    kind = str(group.fact("kind") or "")
    right = {(m.label, d): correct(m.samples[d], kind, group.main_metric) for m in methods for d in doc_ids}
    judged = [d for d in doc_ids if all(right[m.label, d] is not None for m in methods)]
    parts = [_counts(methods, doc_ids, judged, right), _pairs(methods, doc_ids, judged, right)]
    parts += [_examples(group, methods, doc_ids, right), *faults]
    return "\n\n".join(part for part in parts if part)


def _differing(methods: Sequence[Answers], doc_ids: Sequence[str]) -> list[str]:
    return [d for d in doc_ids if len({str(method.samples[d].get("prediction")) for method in methods}) > 1]


def _counts(
    methods: Sequence[Answers], doc_ids: Sequence[str], judged: Sequence[str], right: Mapping[tuple[str, str], bool | None]
) -> str:
    differ = len(_differing(methods, doc_ids))
    said = f"{wording.plural(len(doc_ids), 'sample')} answered by all {len(methods)} methods; on {wording.count(differ)} of them the answers differ."
    lines = [said]
    if judged:
        every = sum(all(right[m.label, d] for m in methods) for d in judged)
        none = sum(not any(right[m.label, d] for m in methods) for d in judged)
        whole = len(judged)
        lines += [
            f"All methods were right on {wording.count(every)} ({wording.share(every, whole)}): these samples tell nothing about who is better.",
            f"No method was right on {wording.count(none)} ({wording.share(none, whole)}): hard samples, unclear ones, or wrong references.",
            f"Some were right and some wrong on the other {wording.count(whole - every - none)} ({wording.share(whole - every - none, whole)}).",
        ]
    else:
        lines.append("Right and wrong cannot be told sample by sample: references are hidden, or the metric judges all samples together.")
    if any(method.seed is not None for method in methods) and len({entry.seed for row in group_entries(methods) for entry in [row]}) > 1:
        lines.append("Where a method has several seeds, its lowest one is taken.")
    return bullets(lines)


def group_entries(methods: Sequence[Answers]) -> Sequence[Answers]:
    return methods


def _letter(number: int) -> str:
    return chr(ord("A") + number) if number < 26 else f"A{number}"


def _pairs(
    methods: Sequence[Answers], doc_ids: Sequence[str], judged: Sequence[str], right: Mapping[tuple[str, str], bool | None]
) -> str:
    lines = []
    for i, one in enumerate(methods):
        line = {"": _letter(i), "method": safe(one.label, 80)}
        for j, other in enumerate(methods):
            if i == j:
                number = wording.NONE
            elif judged:
                number = wording.count(sum(bool(right[one.label, d]) and not right[other.label, d] for d in judged))
            else:
                number = wording.count(len(_differing([one, other], doc_ids)))
            line[_letter(j)] = number
        lines.append(line)
    made = table(pd.DataFrame(lines), right={_letter(i) for i in range(len(methods))})
    if judged:
        said = (
            "Each field counts the samples that the method of the row got right and the method of the column got wrong. Compare a field "
            "with its mirror image across the diagonal: nearly equal numbers mean that two methods fail on different samples, equally often."
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


def _chosen(methods: Sequence[Answers], doc_ids: Sequence[str], right: Mapping[tuple[str, str], bool | None]) -> list[str]:
    """The samples on which methods are most evenly split into right and wrong; then the rest that differ, in order."""

    def split(doc_id: str) -> float:
        return abs(sum(bool(right[m.label, doc_id]) for m in methods) - len(methods) / 2)

    return sorted(_differing(methods, doc_ids), key=lambda d: (split(d), *_order(d)))[:EXAMPLES]


def _examples(
    group: Group, methods: Sequence[Answers], doc_ids: Sequence[str], right: Mapping[tuple[str, str], bool | None]
) -> str:
    chosen = _chosen(methods, doc_ids, right)
    if not chosen:
        return "All methods gave the same answers."
    parts = [
        f"{wording.plural(len(chosen), 'sample')} on which the methods differ: those that split them most evenly, not a random choice."
    ]
    if not group.may_show_text:
        parts[0] += " This task's text may not be passed on (or nothing says that it may), so hashes stand in its place."
    for doc_id in chosen:
        first = methods[0].samples[doc_id]
        text = first.get("text") or first.get("prompt") or ""
        shown = f"“{safe(text, _TEXT)}”" if group.may_show_text else _digest(text)
        answers: dict[str, list[str]] = {}
        verdicts: dict[str, set[bool | None]] = {}
        for method in methods:
            answer = _shown(method.samples[doc_id].get("prediction"), group)
            answers.setdefault(answer, []).append(safe(method.label, 80))
            verdicts.setdefault(answer, set()).add(right[method.label, doc_id])
        words = {True: "right", False: "wrong", None: wording.NONE}
        lines = [
            {"answer": answer, "": listing(sorted(words[v] for v in verdicts[answer])), "given by": listing(names, limit=99)}
            for answer, names in answers.items()
        ]
        reference = _shown(first.get("reference"), group) if first.get("reference") is not None else "hidden"
        parts.append(f"**Sample {safe(visible(doc_id), 60)}**: {shown}<br>Right answer: {reference}")
        parts.append(table(pd.DataFrame(lines)))
    return "\n\n".join(parts)
