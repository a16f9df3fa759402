"""Entities in the report: precision, recall and F1 by type, what sort of mistakes were made, and the commonest of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reports import wording
from reports.disagreements import Answers, Sample
from reports.groups import Group
from reports.markup import listing, safe, table

#: (start, end, type), characters of the text
Span = tuple[int, int, str]
_COMMONEST = 5
#: characters of a text that a picture has room for
_LONGEST = 1000


@dataclass(frozen=True)
class Marks:
    """One sample's reference beside one method's answer."""

    text: str | None
    """None where it may not be passed on"""
    reference: tuple[Span, ...]
    predicted: tuple[Span, ...]
    outside: tuple[tuple[str, str], ...]
    """(type, mention) of answers that the text does not have"""
    valid: bool

    @property
    def right(self) -> set[Span]:
        return set(self.reference) & set(self.predicted)


def marks(sample: Sample) -> Marks | None:
    """What a stored sample says of entities; None where it says nothing (or nothing that can be read)."""
    found = sample.get("entities")
    if not isinstance(found, Mapping):
        return None
    try:
        spans = {
            side: tuple((int(start), int(end), str(kind)) for start, end, kind in found[side])
            for side in ("reference", "predicted")
        }
        outside = tuple((str(kind), str(mention)) for kind, mention in found["outside"])
    except (KeyError, TypeError, ValueError):
        return None
    text = found.get("text")
    return Marks(
        text if isinstance(text, str) else None,
        spans["reference"],
        spans["predicted"],
        outside,
        found.get("valid") is not False,
    )


def types_of(group: Group) -> list[str]:
    """The entity types that count, in the task's own order; empty for a task of another kind."""
    if group.fact("kind") != "entities":
        return []
    stated = group.fact("scored_types") or group.fact("entity_types")
    return [str(name) for name in stated] if isinstance(stated, (list, tuple)) else []


def type_table(group: Group) -> str:
    """F1 (with interval), precision and recall of each type, method by method; empty where there are none."""
    lines = []
    for row in [row for row, _ in group.ranked()] + group.unranked():
        for kind in types_of(group):
            score, precision, recall = (row.score(f"{measure}_{kind}") for measure in ("f1", "precision", "recall"))
            if score is not None:
                lines.append(
                    {
                        "method": safe(row.label, 80),
                        "type": safe(kind, 40),
                        "F1 (95 % interval)": wording.with_interval(score.value, score.low, score.high),
                        "precision": wording.score(precision.value if precision else None),
                        "recall": wording.score(recall.value if recall else None),
                    }
                )
    return table(pd.DataFrame(lines), right={"precision", "recall"}) if lines else ""


def _overlap(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def mistakes(found: Marks) -> Counter:
    """One sample's entities by what became of them. Of the reference: ``right``, ``type`` (right place, other type),
    ``borders`` (an answer of that type overlaps it), ``both``, ``missed``. Of the answer, besides: ``extra`` (overlaps
    nothing), ``outside`` (not in the text). ``invalid`` counts answers outside the grammar."""
    counts: Counter = Counter(outside=len(found.outside), invalid=int(not found.valid))
    for span in found.reference:
        touching = [other for other in found.predicted if _overlap(span, other)]
        if span in touching:
            counts["right"] += 1
        elif any(other[:2] == span[:2] for other in touching):
            counts["type"] += 1
        elif any(other[2] == span[2] for other in touching):
            counts["borders"] += 1
        else:
            counts["both" if touching else "missed"] += 1
    counts["extra"] = sum(not any(_overlap(span, other) for other in found.reference) for span in found.predicted)
    return counts


_COLUMNS = {
    "right": "right",
    "type": "other type",
    "borders": "other borders",
    "both": "both",
    "missed": "missed",
    "extra": "found where nothing is",
    "outside": "not in the text",
    "invalid": "unreadable answers",
}


def mistakes_table(methods: Sequence[Answers]) -> str:
    """What became of the entities, one line a method; empty where no sample says anything of entities."""
    lines = []
    for method in methods:
        total: Counter = Counter()
        readable = [found for found in map(marks, method.samples.values()) if found is not None]
        for found in readable:
            total.update(mistakes(found))
        if readable:
            counts = {said: wording.count(total[name]) for name, said in _COLUMNS.items()}
            lines.append({"method": safe(method.label, 80), **counts})
    return table(pd.DataFrame(lines), right=set(_COLUMNS.values())) if lines else ""


def commonest(method: Answers, may_show_text: bool) -> list[str]:
    """The commonest confusions of types, misses and inventions of a method, as markdown sentences."""
    swapped: Counter = Counter()
    missed: Counter = Counter()
    words: Counter = Counter()
    invented: Counter = Counter()
    for found in map(marks, method.samples.values()):
        if found is None:
            continue
        for span in found.reference:
            touching = [other for other in found.predicted if _overlap(span, other)]
            swapped.update((span[2], other[2]) for other in touching if other[2] != span[2])
            if not touching:
                missed[span[2]] += 1
                if found.text is not None:
                    words[span[2], found.text[span[0] : span[1]]] += 1
        for span in found.predicted:
            if not any(_overlap(span, other) for other in found.reference):
                invented[span[2], found.text[span[0] : span[1]] if found.text is not None else ""] += 1
        invented.update(found.outside)
    said = []
    if swapped:
        pairs = [f"{safe(a, 40)} taken for {safe(b, 40)} ({n})" for (a, b), n in swapped.most_common(_COMMONEST)]
        said.append(f"Types confused: {listing(pairs, _COMMONEST)}.")
    if missed:
        kinds = [f"{safe(kind, 40)} ({n})" for kind, n in missed.most_common(_COMMONEST)]
        said.append(f"Missed altogether: {listing(kinds, _COMMONEST)}.")
    if may_show_text:
        for title, counts in (("Missed, for example", words), ("Invented, for example", invented)):
            if counts:
                shown = [
                    f"“{safe(mention, 60)}” ({safe(kind, 40)}, {n})" for (kind, mention), n in counts.most_common(_COMMONEST)
                ]
                said.append(f"{title}: {listing(shown, _COMMONEST)}.")
    return said


def shown_samples(methods: Sequence[Answers], number: int) -> list[str]:
    """The samples worth a picture: on which the methods' right entities differ most, few long ones; by ``doc_id``."""
    shared = set.intersection(*(set(method.samples) for method in methods)) if methods else set()
    worth: list[tuple[float, str]] = []
    for doc_id in shared:
        found: list[Any] = [marks(method.samples[doc_id]) for method in methods]
        if any(one is None or one.text is None or len(one.text) > _LONGEST or len(one.reference) < 2 for one in found):
            continue
        rights = sorted(len(one.right) / len(one.reference) for one in found)
        worth.append((-(rights[-1] - rights[0]) + len(found[0].text) / 2000, doc_id))
    return [doc_id for _, doc_id in sorted(worth)[:number]]
