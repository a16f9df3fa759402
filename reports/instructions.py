"""Instruction tasks in the report: what tuning did to the untuned model, and which kinds of constraints are obeyed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd

from reports import wording
from reports.differences import difference
from reports.disagreements import Answers
from reports.groups import Group
from reports.markup import safe, table

_COMPARED = ("prompt_level_strict_acc", "inst_level_strict_acc", "reference_likelihood", "answer_words", "repetition")


def change_table(group: Group) -> str:
    """Every tuned method minus the untuned model, with paired intervals; empty where either is missing."""
    rows = [row for row, _ in group.ranked()]
    base = next((row for row in rows if row.family == "zero_shot"), None)
    others = [row for row in rows if row.family not in ("zero_shot", "trivial", "classical")]
    if group.fact("kind") != "instruction" or base is None or not others:
        return ""
    metrics = [name for name in _COMPARED if any(row.score(name) for row in rows)]
    lines = []
    for row in others:
        found = {name: difference(row, base, name) for name in metrics}
        said = {safe(wording.metric_name(name)): one.said() if one else wording.NONE for name, one in found.items()}
        lines.append({"method": safe(row.label, 80), **said})
    return table(pd.DataFrame(lines))


def _family(kind: str) -> str:
    return kind.partition(":")[0].replace("_", " ")


def kinds_table(methods: Sequence[Answers]) -> str:
    """The share of constraints obeyed (strictly), by family and method, on the samples that all answered; empty where none has
    any."""
    counts: dict[str, Counter] = {}
    totals: Counter = Counter()
    shared = set.intersection(*(set(method.samples) for method in methods)) if methods else set()
    for number, method in enumerate(methods):
        for doc in shared:
            found = method.samples[doc].get("constraints")
            for one in found if isinstance(found, list) else []:
                if isinstance(one, Mapping) and isinstance(one.get("id"), str):
                    family = _family(one["id"])
                    counts.setdefault(family, Counter())[method.label] += one.get("strict") is True
                    totals[family] += number == 0
    lines = []
    for family, obeyed in sorted(counts.items(), key=lambda item: (-totals[item[0]], item[0])):
        shares = {safe(method.label, 80): wording.share(obeyed[method.label], totals[family]) for method in methods}
        lines.append({"kind": safe(family, 40), "constraints": wording.count(totals[family]), **shares})
    return table(pd.DataFrame(lines), right=set(lines[0]) - {"kind"}) if lines else ""
