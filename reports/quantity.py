"""Quality against quantity: one task with several training sets in several sizes, as one table and one picture.

A *series* are the groups of a task that differ in what its data source was told, where one of these options is a number (the
size).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from reports import wording
from reports.differences import difference
from reports.groups import Group, Row, Score
from reports.markup import safe, table
from reports.plots import MUTED, Look, axes_at, key, looks, plain, titled, width_of

LIKELIHOOD = "reference_likelihood"
#: families of methods that no training set changes
_BARE = ("zero_shot", "trivial")


@dataclass(frozen=True)
class Point:
    """One training set at one size."""

    answers: str
    size: int
    group: Group


@dataclass(frozen=True)
class Series:
    """All points of one task, and the untuned model's row and the constant answer's where there are such."""

    points: tuple[Point, ...]
    untuned: Row | None
    constant: Row | None = None

    @property
    def lead(self) -> Group:
        return self.points[0].group

    @property
    def sets(self) -> list[str]:
        """The training sets, in order."""
        return list(dict.fromkeys(point.answers for point in self.points))

    @property
    def sizes(self) -> list[int]:
        return sorted({point.size for point in self.points})

    @property
    def methods(self) -> list[str]:
        """The labels of the methods that were tuned, in order."""
        return list(dict.fromkeys(row.label for point in self.points for row in point.group.rows if row.family not in _BARE))

    def row(self, answers: str, size: int, label: str) -> Row | None:
        for point in self.points:
            if (point.answers, point.size) == (answers, size):
                return next((row for row in point.group.rows if row.label == label), None)
        return None


def find_series(groups: Sequence[Group]) -> tuple[list[Series], list[Group]]:
    """The series among `groups`, and the groups that belong to none."""
    families: dict[tuple, list[Point]] = {}
    for group in groups:
        sizes = [value for value in group.data.values() if isinstance(value, int) and not isinstance(value, bool)]
        if len(sizes) == 1:
            named = ", ".join(str(value) for value in group.data.values() if isinstance(value, str))
            families.setdefault(_kin(group), []).append(Point(named or group.task, sizes[0], group))
    found, taken = [], set()
    for kin, points in families.items():
        if len({point.size for point in points}) < 2:
            continue
        alone = [group for group in groups if not group.data and _kin(group) == kin]
        rows = [row for group in [*alone, *(point.group for point in points)] for row in group.rows]
        bare = [next((row for row in rows if row.family == family and row.records), None) for family in _BARE]
        found.append(Series(tuple(points), *bare))
        untuned = [group for group in alone if all(row.family in _BARE for row in group.rows)]
        taken |= {id(group) for group in [*untuned, *(point.group for point in points)]}
    return found, [group for group in groups if id(group) not in taken]


def _kin(group: Group) -> tuple:
    return (group.task, group.model, group.budget, group.split, group.test_limit, group.max_new_tokens)


def quantity_table(series: Series) -> str:
    """One line a method, training set and size: scores with intervals, what the answers look like, what was spent."""
    main = series.lead.main_metric
    lines = []
    rows: list[tuple[str | None, int | None, Row | None]] = [(None, None, series.constant), (None, None, series.untuned)]
    rows += [
        (answers, size, series.row(answers, size, label))
        for label in series.methods
        for answers in series.sets
        for size in series.sizes
    ]
    for answers, size, row in rows:
        if row is None:
            continue
        score, likelihood = row.score(main), row.score(LIKELIHOOD)
        lines.append(
            {
                "method": safe(row.label, 80),
                "training set": safe(answers) if answers else wording.NONE,
                "size": str(size) if size else wording.NONE,
                f"{safe(wording.metric_name(main))} (95 % interval)": _scored(score),
                f"{wording.metric_name(LIKELIHOOD)} (95 % interval)": _scored(likelihood),
                "words": _mean(row, "answer_words", "{:.0f}"),
                "repetition": _mean(row, "repetition", "{:.3f}"),
                "epochs": f"{fmean(r.spend.epochs for r in row.records):.1f}" if answers and row.records else wording.NONE,
                "training FLOPs": wording.flops(fmean(r.spend.flops for r in row.records)) if row.records else wording.NONE,
                "seeds": str(len(row.records)),
            }
        )
    return table(pd.DataFrame(lines), right={"size", "words", "repetition", "epochs", "training FLOPs", "seeds"}) if lines else ""


def _scored(score: Score | None) -> str:
    return wording.with_interval(score.value, score.low, score.high) if score else wording.NONE


def _mean(row: Row, metric: str, form: str) -> str:
    score = row.score(metric)
    return form.format(score.value) if score else wording.NONE


def sentences(series: Series) -> list[str]:
    """What the run says: for each method the sets against each other at the largest size, and few of one against all of
    another."""
    main = series.lead.main_metric
    first, *others = series.sets
    small, large = series.sizes[0], series.sizes[-1]
    said = []
    for label in series.methods:
        best = series.row(first, large, label)
        if best is None or not best.records:
            continue
        for other in others:
            for size, what in ((large, f"{large} {safe(other)}"), (small, "")):
                one = best if what else series.row(first, small, label)
                rival = series.row(other, large, label)
                if one is None or rival is None or not rival.records or not one.records:
                    continue
                pairs = f"{size} {safe(first)} against {large} {safe(other)} answers"
                gaps = [(name, difference(one, rival, name)) for name in (main, LIKELIHOOD)]
                shown = [
                    f"{wording.metric_name(name)} {gap.said()}{'' if gap.tells else ' (not told apart)'}"
                    for name, gap in gaps
                    if gap
                ]
                if shown:
                    said.append(f"{safe(label, 80)}, {pairs}: {'; '.join(shown)}.")
    return said


def quantity_picture(series: Series) -> Figure:
    """Above the main metric, below the reference's likelihood, against the number of examples; a column for each method, a
    line for each training set, the untuned model as a dashed line."""
    metrics = [name for name in (series.lead.main_metric, LIKELIHOOD) if _any(series, name)]
    methods, look = series.methods, looks(series.sets)
    names = {answers: plain(answers) for answers in series.sets}
    left, plot, gap, height, between = 0.85, 3.3, 0.35, 2.35, 0.5
    right = 0.6 + width_of(names.values(), 9)
    bottom, top = 0.72, 1.02
    wide = left + len(methods) * plot + (len(methods) - 1) * gap + right
    figure = Figure(figsize=(wide, bottom + len(metrics) * height + (len(metrics) - 1) * between + top))
    for place, metric in enumerate(metrics):
        low, high = _reach(series, metric)
        for column, label in enumerate(methods):
            x = left + column * (plot + gap)
            y = bottom + (len(metrics) - 1 - place) * (height + between)
            axes = axes_at(figure, x, y, plot, height)
            axes.set_ylim(low, high)
            ends = _lines(axes, series, label, metric, look)
            _size_axis(axes, series.sizes, place == len(metrics) - 1)
            if place == 0:
                axes.set_title(plain(label, 60), size=9.5, color=MUTED, loc="left")
            if column == 0:
                axes.set_ylabel(plain(wording.metric_name(metric)))
            else:
                axes.tick_params(axis="y", labelleft=False)
            if column == len(methods) - 1 and ends:
                key(axes, [(names[answers], look[answers], end) for answers, end in ends])
    titled(figure, f"{series.lead.task}: quality against quantity", _MARKS)
    return figure


_MARKS = (
    "mark: mean of the seeds; bar: from lowest to highest end of their 95 % intervals; dashed: untuned; dotted: constant answer"
)


def _any(series: Series, metric: str) -> bool:
    return any(row.score(metric) for point in series.points for row in point.group.rows)


def _reach(series: Series, metric: str) -> tuple[float, float]:
    rows = [*(row for point in series.points for row in point.group.rows), series.untuned, series.constant]
    found = [score for row in rows if row and (score := row.score(metric))]
    values = [value for score in found for value in (score.value, score.low, score.high) if value is not None]
    margin = 0.06 * (max(values) - min(values) or 1.0)
    return max(0.0, min(values) - margin) if min(values) >= 0 else min(values) - margin, max(values) + margin


def _lines(axes: Axes, series: Series, label: str, metric: str, look: Mapping[str, Look]) -> list[tuple[str, float]]:
    """Draw every training set's line; returns each with its height at the right end, highest first."""
    axes.set_xscale("log")
    ends = []
    shift = 1.035  # so that bars of different sets stand beside each other
    for number, answers in enumerate(series.sets):
        rows = [(size, series.row(answers, size, label)) for size in series.sizes]
        scored = [(size, score) for size, row in rows if row is not None and (score := row.score(metric))]
        if not scored:
            continue
        style = look[answers]
        xs = [size * shift ** (number - (len(series.sets) - 1) / 2) for size, _ in scored]
        axes.plot(xs, [score.value for _, score in scored], color=style.colour, lw=1.6, alpha=0.9, zorder=3)
        for x, (_, score) in zip(xs, scored, strict=True):
            if score.low is not None and score.high is not None:
                axes.plot(
                    [x, x], [score.low, score.high], color=style.colour, lw=1.6, alpha=0.45, solid_capstyle="round", zorder=2
                )
            axes.plot([x], [score.value], ls="", marker=style.marker, ms=6.5, mfc=style.colour, mec="white", mew=0.8, zorder=4)
        ends.append((answers, scored[-1][1].value))
    for row, dashes in ((series.untuned, (4, 3)), (series.constant, (1, 2))):
        if row and (score := row.score(metric)):
            axes.axhline(score.value, color=MUTED, ls=(0, dashes), lw=1, zorder=1)
    axes.grid(axis="y")
    return sorted(ends, key=lambda pair: -pair[1])


def _size_axis(axes: Axes, sizes: Sequence[int], labelled: bool) -> None:
    axes.set_xlim(sizes[0] / 1.25, sizes[-1] * 1.25)
    axes.xaxis.set_major_locator(FixedLocator(list(sizes)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticklabels([str(size) for size in sizes])
    if labelled:
        axes.set_xlabel("training examples, logarithmic scale")


def section(series: Series, draw: Callable[[str, Callable[[], Figure], str, str], str]) -> list[str]:
    """The markdown of a series: setting, sentences, picture, table."""
    lead = series.lead
    setting = (
        f"Model {safe(lead.model)}; budget {safe(wording.budget_words(lead.budget))}; the training set and its size vary, the "
        f"{safe(lead.fact('test_samples') or '')} test samples do not."
    )
    parts = [setting]
    if said := sentences(series):
        parts += [_DIFFERENCES, "\n".join(f"- {one}" for one in said)]
    parts.append(draw("quantity", lambda: quantity_picture(series), "score against number of training examples", _PICTURE))
    parts.append(quantity_table(series))
    return parts


_DIFFERENCES = (
    "Differences on the same samples, seeds pooled, with paired 95 % intervals (bootstrap over samples; they say nothing of "
    "other seeds or of another choice of training examples):"
)
_PICTURE = (
    "Left to right: more training examples. One line is one set of answers to the same prompts; a smaller set is part of the "
    "larger one. Bars that overlap may still differ: the paired differences above decide."
)
