"""The tables of one group: results, seeds, per-class F1, costs, and the cells that gave no score. All return markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from statistics import fmean

import pandas as pd

from harness.record import Record
from reports import wording
from reports.groups import Group, Row, Score
from reports.markup import bullets, safe, table
from reports.results import Entry
from reports.wording import NONE

_STATUS_WORDS = {"unscored": "unscored (the right answers are hidden)", "ok": "ok"}


def status(row: Row) -> str:
    """How a row's cells ended, in words: ``ok``, ``failed``, ``ok: 2 of 3 seeds; failed: 1``."""
    counts = Counter(entry.status for entry in row.entries)
    earlier = "" if all(entry.asked for entry in row.entries) else " (earlier run)"
    if len(row.entries) == 1 or len(counts) == 1:
        return safe(_STATUS_WORDS.get(row.entries[0].status, row.entries[0].status)) + earlier
    said = [
        f"{name}: {number} of {len(row.entries)} seeds"
        for name, number in sorted(counts.items(), key=lambda item: item[0] != "ok")
    ]
    return "; ".join(said) + earlier


def score_cell(score: Score | None) -> str:
    """Value with interval; a mean over several seeds is marked."""
    if score is None:
        return NONE
    mark = f", mean of {len(score.seeds)} seeds" if len(score.seeds) > 1 else ""
    return wording.with_interval(score.value, score.low, score.high) + mark


def results_table(group: Group) -> str:
    """One line a method, best first; those without a score follow in display order."""
    main = group.main_metric
    names = {name: None for record in group.records for name in record.metrics}
    others = [name for name in names if name != main and wording.class_of(name) is None]
    ranked = group.ranked()
    heading = f"{safe(wording.metric_name(main))} (95 % interval)"
    lines = []
    for place, (row, found) in enumerate([*ranked, *[(row, None) for row in group.unranked()]], start=1):
        line = {"": str(place) if found else NONE, "method": safe(row.label, 80), heading: score_cell(found)}
        for name in others:
            other = row.score(name)
            line[safe(wording.metric_name(name))] = NONE if other is None else wording.score(other.value)
        line["test samples"] = wording.count(found.n) if found else NONE
        line["status"] = status(row) if found or row.entries[0].status != "ok" else "ok, but without a value of this metric"
        lines.append(line)
    return table(pd.DataFrame(lines), right={"", "test samples", *(safe(wording.metric_name(name)) for name in others)})


def _reason(entry: Entry, label: str, several: bool) -> str:
    seed = f", seed {entry.seed}" if several and entry.seed is not None else ""
    log = (
        f" The traceback is in {safe(entry.record.log)} in the folder {safe(entry.id)}."
        if entry.record and entry.record.log
        else ""
    )
    reason = safe(entry.reason, 300) or "no reason is recorded"
    return f"**{safe(label, 80)}**{seed}, **{safe(entry.status)}**: {reason}{'' if reason.endswith(('.', '…')) else '.'}{log}"


def unfinished(group: Group) -> str:
    """The cells that gave no score, each with its reason; empty where all did."""
    return bullets(
        [_reason(entry, row.label, len(row.entries) > 1) for row in group.rows for entry in row.entries if entry.status != "ok"]
    )


def seeds_table(group: Group) -> str:
    """The seeds one by one, for the methods that have several; empty where none has."""
    lines = []
    for row, score in group.ranked():
        if len(score.seeds) < 2:
            continue
        for record in row.records:
            metric = record.metrics.get(group.main_metric)
            value = wording.score(metric.value) if metric else NONE
            low_high = wording.interval(metric.low, metric.high) if metric else NONE
            lines.append(
                {"method": safe(row.label, 80), "seed": str(record.cell.seed), "score": value, "95 % interval": low_high}
            )
    return table(pd.DataFrame(lines), right={"seed", "score"}) if lines else ""


def class_table(group: Group) -> str:
    """F1 of each class by method, from metrics named ``f1_<class>``; empty where there are none."""
    if group.fact("kind") == "entities":
        return ""  # they have a table of their own
    found = {name: wording.class_of(name) for record in group.records for name in record.metrics if name.startswith("f1_")}
    classes = {name: label for name, label in found.items() if label is not None}
    lines = []
    for row in [row for row, _ in group.ranked()] + group.unranked():
        scores = {name: row.score(name) for name in classes}
        if any(scores.values()):
            cells = {
                safe(label, 40): wording.score(score.value) if score else NONE
                for label, score in zip(classes.values(), scores.values(), strict=True)
            }
            lines.append({"method": safe(row.label, 80), **cells})
    return table(pd.DataFrame(lines), right={safe(label, 40) for label in classes.values()}) if lines else ""


def _mean(row: Row, value: Callable[[Record], float]) -> float:
    return fmean(value(record) for record in row.spent)


def _label(row: Row) -> str:
    return safe(row.label, 80) + ("" if row.records else " (failed)")


def _in_order(group: Group) -> list[Row]:
    return [row for row in [*(row for row, _ in group.ranked()), *group.unranked()] if row.spent]


def adapting_table(group: Group) -> str:
    """What each method spent before the test: FLOPs, what was left, examples, time, memory, parameters, disk, dollars."""
    dollars = any(record.spend.usd for record in group.records)
    lines = []
    for row in _in_order(group):
        spent, left = _mean(row, lambda r: r.spend.flops), _mean(row, lambda r: r.spend.unspent)
        examples, epochs = _mean(row, lambda r: r.spend.examples), _mean(row, lambda r: r.spend.epochs)
        idle = not (spent or left or examples)
        trained = _mean(row, lambda r: r.trainable_parameters)
        line = {
            "method": _label(row),
            "training FLOPs": wording.flops(spent),
            "left of the budget": NONE if idle else wording.left_over(left, group.budget),
            "examples seen": f"{wording.count(examples)} ({epochs:.2g} {'epoch' if epochs == 1 else 'epochs'})"
            if examples
            else NONE,
            "time": wording.seconds(_mean(row, lambda r: r.spend.seconds)),
            "peak memory": wording.size(_mean(row, lambda r: r.spend.peak_memory_bytes)),
            "trained parameters": wording.count(trained),
            "stored on disk": wording.size(_mean(row, lambda r: r.stored_bytes)),
        }
        if dollars:
            line["US dollars"] = wording.usd(_mean(row, lambda r: r.spend.usd))
        lines.append(line)
    return table(pd.DataFrame(lines), right=set(lines[0]) - {"method"}) if lines else ""


def answering_table(group: Group) -> str:
    """What 1,000 answers cost each method; empty where nothing was asked."""
    lines = []
    for row in _in_order(group):
        if row.records:
            line = {
                "method": _label(row),
                "FLOPs per 1,000 samples": wording.flops(_mean(row, lambda r: r.inference.flops_per_1000)),
                "time per 1,000 samples": wording.seconds(_mean(row, lambda r: r.inference.seconds_per_1000)),
            }
            lines.append(line)
    return table(pd.DataFrame(lines), right=set(lines[0]) - {"method"}) if lines else ""


def glance(groups: list[Group]) -> str:
    """One line a group: the best method beside the untuned model and the best classical method."""
    lines = []
    for number, group in enumerate(groups, start=1):
        ranked = group.ranked()

        def best_of(*families: str, ranked: list[tuple[Row, Score]] = ranked) -> str:
            return next((wording.score(score.value) for row, score in ranked if row.family in families), NONE)

        best = f"{safe(ranked[0][0].label, 80)}: {score_cell(ranked[0][1])}" if ranked else "nothing was scored"
        lines.append(
            {
                "": str(number),
                "task": safe(group.title),
                "metric": safe(wording.metric_name(group.main_metric)),
                "best method and its score": best,
                "untuned model": best_of("zero_shot"),
                "best classical": best_of("classical"),
                "chance": wording.score(group.chance),
            }
        )
    return table(pd.DataFrame(lines), right={"", "untuned model", "best classical", "chance"})
