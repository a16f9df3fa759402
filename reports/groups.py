"""Entries that may be compared become groups, and a method's seeds within a group become one row with one score."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from harness.matrix import variant
from harness.record import Metric, Record
from reports.results import Entry
from reports.wording import budget_words

Family = Literal["trivial", "classical", "zero_shot", "untuned", "trained"]
#: words in a method's name that say that it uses no language model
_TRIVIAL = {"majority", "chance", "random", "constant", "dummy"}
_CLASSICAL = {"tfidf", "idf", "classical", "logreg", "svm", "bow", "ngram", "bayes", "crf", "fasttext", "dictionary", "lookup"}


def _without_model(record: Record) -> bool:
    """Whether the method said of itself (``provenance.method.uses_model``) that it uses no language model."""
    stated = record.provenance.get("method")
    return isinstance(stated, dict) and stated.get("uses_model") is False


@dataclass(frozen=True)
class Score:
    """One metric of one row. Several seeds: `value` is their mean, `low` and `high` the outermost ends of their own intervals."""

    value: float
    low: float | None
    high: float | None
    n: int
    """samples, for one seed"""
    seeds: tuple[float, ...]
    """the seeds' own values, lowest seed first"""
    higher_is_better: bool = True

    @property
    def rank(self) -> float:
        """Smaller is better."""
        return -self.value if self.higher_is_better else self.value

    def overlaps(self, other: Score) -> bool | None:
        """Whether the two intervals share a point; None where one is unknown."""
        if self.low is None or self.high is None or other.low is None or other.high is None:
            return None
        return self.low <= other.high and other.low <= self.high


@dataclass(frozen=True)
class Row:
    """One method with all its seeds."""

    label: str
    method: str
    entries: tuple[Entry, ...]

    @property
    def records(self) -> tuple[Record, ...]:
        """The records that were evaluated (``ok`` or ``unscored``), lowest seed first."""
        return tuple(entry.record for entry in self.evaluated if entry.record)

    @property
    def evaluated(self) -> tuple[Entry, ...]:
        good = [entry for entry in self.entries if entry.record and entry.status in ("ok", "unscored")]
        return tuple(sorted(good, key=lambda entry: entry.seed or 0))

    def score(self, metric: str) -> Score | None:
        """The row's value of a metric; None where no seed has one."""
        found = [(record.metrics[metric], record.status) for record in self.records if metric in record.metrics]
        scored: list[Metric] = [one for one, status in found if one.value is not None and status == "ok"]
        values = [one.value for one in scored if one.value is not None]
        if not values:
            return None
        lows, highs = ([one.low for one in scored if one.low is not None], [one.high for one in scored if one.high is not None])
        whole = len(lows) == len(highs) == len(scored)
        low, high = (min(lows), max(highs)) if whole else (None, None)
        return Score(fmean(values), low, high, scored[0].n, tuple(values), scored[0].higher_is_better)

    @property
    def spent(self) -> tuple[Record, ...]:
        """The records with a cost to show: the evaluated ones, else failed ones that had already spent something."""
        failed = [entry.record for entry in self.entries if entry.record and entry.status == "failed"]
        return self.records or tuple(record for record in failed if record.spend.flops or record.spend.usd)

    @property
    def family(self) -> Family:
        """What sort of method this is: by its name, by what it says of itself, and by whether anything was trained."""
        words = set(re.split(r"[^a-z0-9]+", self.method.lower()))
        if words & _TRIVIAL:
            return "trivial"
        if words & _CLASSICAL or any(_without_model(record) for record in self.records):
            return "classical"
        if {"zero", "shot"} <= words or "zeroshot" in words:
            return "zero_shot"
        trained = any(r.spend.flops or r.spend.examples or r.spend.usd or r.trainable_parameters for r in self.records)
        return "trained" if trained or not self.records else "untuned"


@dataclass(frozen=True)
class Group:
    """Cells that are compared with each other: same task and training data, model, budget, split and test samples."""

    task: str
    model: str
    budget: str
    split: str
    test_limit: int | None
    rows: tuple[Row, ...]
    data: dict[str, Any] = field(default_factory=dict)
    """what the task's data source was told: which training set, how much of it"""
    max_new_tokens: int | None = None
    title: str = ""
    """the task's name, with what tells it apart where a task stands in several groups"""

    @property
    def records(self) -> tuple[Record, ...]:
        return tuple(entry.record for row in self.rows for entry in row.entries if entry.record)

    @property
    def main_metric(self) -> str:
        """The metric that ranks: the one that most records name, the first named among equals."""
        named = [record.main_metric for record in self.records if record.main_metric]
        return max(dict.fromkeys(named), key=named.count) if named else ""

    def fact(self, key: str) -> Any:
        """What the records say of the task (``kind``, ``chance``, ``choices``, ...); None where none does."""
        return next((record.task[key] for record in self.records if record.task.get(key) is not None), None)

    def ranked(self) -> list[tuple[Row, Score]]:
        """The rows that have a value of the main metric, best first; equals in display order."""
        scored = [(row, row.score(self.main_metric)) for row in self.rows]
        return sorted([(row, score) for row, score in scored if score is not None], key=lambda pair: pair[1].rank)

    def unranked(self) -> list[Row]:
        """The rows without a value of the main metric, in display order."""
        ranked = {id(row) for row, _ in self.ranked()}
        return [row for row in self.rows if id(row) not in ranked]

    @property
    def chance(self) -> float | None:
        if self.fact("kind") == "instruction":
            return None  # what luck obeys depends on the constraints; a constant answer (`majority`) shows how much that is
        chance = self.fact("chance")
        return float(chance) if isinstance(chance, (int, float)) and not isinstance(chance, bool) else None

    @property
    def may_show_text(self) -> bool:
        """Whether samples' text may be passed on: every record with samples must say so."""
        stated = [record.task.get("redistribute") for row in self.rows for record in row.records]
        return bool(stated) and all(permission is True for permission in stated)


def _rows(entries: Iterable[Entry]) -> tuple[Row, ...]:
    """Entries by method, label and settings, in order. What has no label or no record joins its method's row where there is
    only one."""
    entries = list(entries)
    place = {id(entry): number for number, entry in enumerate(entries)}
    rows: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in sorted(entries, key=lambda e: (not e.label, e.record is None)):
        key = (entry.method, entry.label, json.dumps(entry.settings, sort_keys=True, default=str))
        if key not in rows and (not entry.label or entry.record is None):
            near = [known for known in rows if known[0] == entry.method]
            near = [known for known in near if known[2] == key[2]] or near
            near = [known for known in near if known[1] == entry.label] or near
            key = near[0] if len(near) == 1 else key
        rows.setdefault(key, []).append(entry)
    ordered = sorted(rows, key=lambda key: min(place[id(entry)] for entry in rows[key]))
    labels = [key[1] or Path(key[0]).stem for key in ordered]
    made: list[Row] = []
    for key, label in zip(ordered, labels, strict=True):
        shown = label
        if labels.count(label) > 1:
            given = ", ".join(f"{name}={value}" for name, value in rows[key][0].settings.items())
            shown = f"{label} ({given or 'default settings'})"
            again = sum(row.label.startswith(shown) for row in made)
            shown = f"{shown} #{again + 1}" if again else shown
        made.append(Row(shown, key[0], tuple(sorted(rows[key], key=lambda entry: place[id(entry)]))))
    return tuple(made)


def make_groups(entries: Iterable[Entry]) -> list[Group]:
    """Entries that may be compared, together: one group for each task, model, budget, split and limit, in order."""
    entries = list(entries)
    known = list(dict.fromkeys(entry.group_key for entry in entries if entry.record))
    members: dict[tuple[object, ...], list[Entry]] = {}
    for entry in entries:
        near = [key for key in known if key[:3] == entry.group_key[:3]]
        key = near[0] if entry.record is None and len(near) == 1 else entry.group_key
        members.setdefault(key, []).append(entry)
    groups = []
    for key, found in members.items():
        lead = next((entry for entry in found if entry.group_key == key), found[0])
        groups.append(
            Group(lead.task, lead.model, lead.budget, lead.split, lead.test_limit, _rows(found), lead.data, lead.max_new_tokens)
        )
    return [replace(group, title=_title(group, groups)) for group in groups]


def _title(group: Group, groups: list[Group]) -> str:
    siblings = [other for other in groups if other.task == group.task]
    parts = [variant(group.task, group.data)]
    for name, said in (("model", f"{group.model}"), ("budget", budget_words(group.budget)), ("split", f"{group.split} split")):
        if len({getattr(other, name) for other in siblings}) > 1:
            parts.append(said)
    if len({other.max_new_tokens for other in siblings}) > 1:
        parts.append("answers of the task's length" if group.max_new_tokens is None else f"{group.max_new_tokens} new tokens")
    if len({other.test_limit for other in siblings}) > 1:
        parts.append("all samples" if group.test_limit is None else f"{group.test_limit} samples")
    return ", ".join(parts)
