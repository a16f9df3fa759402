"""Two pictures of what lies behind a score: confusion matrices, and the loss during training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from harness.record import Record
from reports.groups import Group, Row
from reports.plots import FAINT, INK, MUTED, Look, axes_at, fit_all, key, titled, width_of

#: more classes than this are too small to read, in a picture or on a wall
MOST_CLASSES = 20
_OTHER = "other answer"
_MAP = colormaps["Blues"]


@dataclass(frozen=True)
class _Matrix:
    row: Row
    seed: int
    counts: Mapping[str, Mapping[str, int]]


def _matrices(group: Group) -> list[_Matrix]:
    rows = [row for row, _ in group.ranked()] + group.unranked()
    found = [(row, record) for row in rows for record in row.records[:1] if record.confusion]
    return [_Matrix(row, record.cell.seed, record.confusion) for row, record in found]


def true_classes(group: Group) -> list[str]:
    """The classes in the task's own order, those that only a record names behind them. Empty without confusion matrices."""
    named = {label: None for matrix in _matrices(group) for label in matrix.counts}
    if not named:
        return []
    choices = group.fact("choices")
    stated = [str(choice) for choice in choices] if isinstance(choices, (list, tuple)) else sorted(named)
    return [*dict.fromkeys(stated), *[label for label in named if label not in stated]]


def has_confusion(group: Group) -> bool:
    """Whether there are confusion matrices of a size that can be read."""
    return 0 < len(true_classes(group)) <= MOST_CLASSES


def confusion_picture(group: Group) -> Figure:
    """One square a method, best first: rows are the true class, columns the answer; count and share of the row in each field."""
    matrices, classes = _matrices(group), true_classes(group)
    other = any(answer not in classes for m in matrices for counts in m.counts.values() for answer in counts)
    answers = [*classes, _OTHER] if other else classes
    clear = [label.strip() or "(empty)" for label in answers]
    word = min(13, max(10, *(len(part) for label in clear for part in label.split()), 0))
    beside, below = (list(map(fit_all(clear, *room).__getitem__, clear)) for room in ((20, 1), (word, 2)))
    few = len(answers) <= 5
    field = min(max(0.62, width_of(below, 8.5) + 0.1), 0.85) if few else 0.5 if len(answers) <= 10 else 0.36
    level = width_of(below, 8.5) <= field - 0.06
    under = 0.14 + (0.14 * max(label.count("\n") + 1 for label in below) if level else width_of(beside, 8.5))
    across, down = field * len(answers), (0.62 if few else field) * len(classes)
    per_line = min(len(matrices), max(1, int(10.8 / (across + 0.3))))
    lines = math.ceil(len(matrices) / per_line)
    names = fit_all([m.row.label for m in matrices], max(12, int(across / 0.088)), 2)
    head = 0.45 if any("\n" in name for name in names.values()) else 0.28
    left, step, rise = 0.5 + width_of(beside, 8.5), across + 0.3, down + head + 0.18
    width = left + step * per_line
    figure = Figure(figsize=(max(width, 5.0), 0.72 + rise * lines + under + 0.2))
    tall = figure.get_size_inches()[1]
    for number, matrix in enumerate(matrices):
        line, column = divmod(number, per_line)
        axes = axes_at(figure, left + step * column, tall - 0.72 - rise * line - head - down, across, down)
        _squares(axes, matrix, classes, answers, small=field < 0.5)
        axes.set_title(names[matrix.row.label], size=9.5, loc="left", pad=5)
        axes.set_yticks(range(len(classes)), beside[: len(classes)] if column == 0 else [""] * len(classes), size=8.5)
        axes.set_xticks(range(len(answers)), [""] * len(answers))
        if number + per_line >= len(matrices):
            axes.set_xticks(range(len(answers)), below if level else beside, size=8.5, rotation=0 if level else 90)
        axes.tick_params(length=0, pad=3)
    figure.text(0.16 / figure.get_size_inches()[0], 0.5, "true class", rotation=90, va="center", size=9.5)
    figure.text(
        (left + step * per_line / 2 - 0.15) / figure.get_size_inches()[0], 0.14 / tall, "answer given", ha="center", size=9.5
    )
    titled(figure, f"{group.title}: answers by true class", "each field: samples, and their share of the row")
    return figure


def _squares(axes: Axes, matrix: _Matrix, classes: Sequence[str], answers: Sequence[str], small: bool) -> None:
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlim(-0.5, len(answers) - 0.5)
    axes.set_ylim(len(classes) - 0.5, -0.5)
    for i, label in enumerate(classes):
        counts = dict(matrix.counts.get(label, {}))
        cells = [counts.pop(answer, 0) if answer in classes else sum(counts.values()) for answer in answers]
        total = sum(cells)
        for j, number in enumerate(cells):
            part = number / total if total else 0.0
            face = to_hex(_MAP(0.04 + 0.86 * part)) if total else "#FAFAFA"
            axes.fill_between([j - 0.48, j + 0.48], i - 0.48, i + 0.48, color=face, lw=0)
            if i == j:
                axes.plot(
                    [j - 0.48, j + 0.48, j + 0.48, j - 0.48, j - 0.48],
                    [i - 0.48, i - 0.48, i + 0.48, i + 0.48, i - 0.48],
                    color=MUTED,
                    lw=0.8,
                )
            ink = "white" if part > 0.65 else INK if number else "#999999"
            if small:
                axes.text(j, i, str(number), size=7.5, ha="center", va="center", color=ink)
            else:
                axes.text(j, i - 0.13 if number else i, str(number), size=9.5, ha="center", va="center", color=ink)
                if number:
                    axes.text(
                        j,
                        i + 0.22,
                        f"{100 * part:.0f} %" if part >= 0.005 else "<1 %",
                        size=7.5,
                        ha="center",
                        va="center",
                        color=ink,
                    )


@dataclass(frozen=True)
class _Curve:
    row: Row
    shares: tuple[float, ...]
    losses: tuple[float, ...]


def _curve(row: Row, record: Record) -> _Curve | None:
    points = [(entry["share"], entry["loss"]) for entry in record.curve if "share" in entry and "loss" in entry]
    if len(points) < 2:
        return None
    return _Curve(row, tuple(share for share, _ in points), tuple(loss for _, loss in points))


def _curves(group: Group) -> list[_Curve]:
    rows = [row for row, _ in group.ranked()] + group.unranked()
    found = [_curve(row, record) for row in rows for record in row.records]
    return [curve for curve in found if curve is not None]


def has_loss(group: Group) -> bool:
    """Whether any record carries a curve with at least two losses."""
    return bool(_curves(group))


def smooth(values: Sequence[float], width: int) -> list[float]:
    """The mean of each value and its neighbours, `width` in all, fewer at both ends."""
    half = width // 2
    windows = [values[max(0, i - half) : i + half + 1] for i in range(len(values))]
    return [sum(window) / len(window) for window in windows]


def loss_picture(group: Group, look: Mapping[str, Look]) -> Figure:
    """Loss against the share of the budget that was spent, one line a seed; long curves are smoothed over a faint original."""
    curves = _curves(group)
    labels = list(dict.fromkeys(curve.row.label for curve in curves))
    names = fit_all(labels, 34)
    left, plot, right = 0.75, 5.2, 0.6 + width_of(names.values(), 9)
    height = max(2.8, 0.22 * len(labels) + 0.2)
    figure = Figure(figsize=(left + plot + right, height + 1.45))
    axes = axes_at(figure, left, 0.6, plot, height)
    every = [loss for curve in curves for loss in curve.losses]
    low, high = min(0.0, *every), max(every)
    high += 0.05 * (high - low or 1.0)
    axes.set_xlim(0, 1)
    axes.set_ylim(low, high)
    ends: dict[str, float] = {}
    smoothed = False
    for curve in curves:
        style, losses = look[curve.row.label], list(curve.losses)
        if len(losses) >= 20:
            axes.plot(curve.shares, losses, color=style.colour, lw=0.7, alpha=0.25)
            losses, smoothed = smooth(losses, 2 * (len(losses) // 24) + 3), True
        axes.plot(
            curve.shares,
            losses,
            color=style.colour,
            ls=style.line,
            lw=1.7 if len(labels) == len(curves) else 1.2,
            marker=style.marker,
            ms=4.5,
            mec="white",
            mew=0.5,
            markevery=0.12,
        )
        ends.setdefault(curve.row.label, losses[-1])
    order = sorted(labels, key=lambda label: -ends[label])
    key(axes, [(names[label], look[label], ends[label]) for label in order])
    axes.grid(axis="y", color=FAINT)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axes.set_xlabel("share of the budget spent")
    axes.set_ylabel("training loss (lower is a closer fit)")
    faint = "; faint: every step, strong: running mean" if smoothed else ""
    titled(figure, f"{group.title}: loss during training", f"one line for each trained model{faint}")
    return figure
