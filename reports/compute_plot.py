"""The picture of scores against the compute that was spent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from reports import wording
from reports.groups import Group, Row, Score
from reports.plots import MUTED, ZONE, Look, axes_at, fit_all, key, plain, spread, titled, width_of
from reports.score_plots import direction, limits, marks

#: inches between marks that would hide each other
_APART = 0.17
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


@dataclass(frozen=True)
class _Point:
    row: Row
    score: Score
    flops: float


def _points(group: Group) -> list[_Point]:
    return [_Point(row, score, sum(r.spend.flops for r in row.records) / len(row.records)) for row, score in group.ranked()]


def has_compute(group: Group) -> bool:
    """Whether any scored method spent FLOPs, so that the second picture has something to show."""
    return any(point.flops > 0 for point in _points(group))


def compute_picture(group: Group, look: Mapping[str, Look]) -> Figure:
    """Score against training FLOPs on a log axis; methods that spent none stand in a zone of their own at the left."""
    points = _points(group)
    idle, trained = [p for p in points if p.flops <= 0], [p for p in points if p.flops > 0]
    short = fit_all([p.row.label for p in points], 34)
    names = {p.row.label: f"{short[p.row.label]}  {wording.score(p.score.value)}" for p in points}
    height, bottom, top, left = max(3.1, 0.22 * len(points) + 0.2), 0.75, 0.95, 0.78
    zone, gap = (max(1.15, 0.3 + _APART * len(idle)), 0.12) if idle else (0.0, 0.0)
    plot, right = 4.6, 0.6 + width_of(names.values(), 9)
    figure = Figure(figsize=(left + zone + gap + plot + right, bottom + height + top))
    low, high = limits(group, [p.score for p in points])
    edge = 0.03 * (high - low)  # so that a mark at 0 or 1 is not cut
    low, high = low - edge, high + edge
    budget = _budget_flops(group)
    main = axes_at(figure, left + zone + gap, bottom, plot, height)
    start, end = _log_axis(main, [p.flops for p in trained], budget)
    inch = (end - start) / plot
    stop = end if budget is None else max(math.log10(budget) - 0.08 * inch, math.log10(max(p.flops for p in trained)))
    _draw(main, trained, spread([math.log10(p.flops) for p in trained], 0.6 * _APART * inch, start, stop), look)
    main.set_xlabel("training FLOPs, logarithmic scale")
    shown = [main]
    if idle:
        before = axes_at(figure, left, bottom, zone, height)
        before.set_facecolor(ZONE)
        before.set_xlim(0, zone)
        _draw(before, idle, spread([zone / 2] * len(idle), _APART, 0.15, zone - 0.15), look)
        before.set_xticks([])
        before.set_xlabel("untrained\n(no FLOPs)" if _untrained(idle) else "untrained, or no\nFLOPs counted")
        before.spines["bottom"].set_visible(False)
        main.tick_params(axis="y", length=0, labelleft=False)
        main.spines["left"].set_visible(False)
        shown.insert(0, before)
    for axes in shown:
        axes.set_ylim(low, high)
        axes.grid(axis="y")
        if group.chance is not None:
            axes.axhline(group.chance, color=MUTED, ls=(0, (4, 3)), lw=1, zorder=1)
    shown[0].set_ylabel(plain(f"{wording.metric_name(group.main_metric)} ({direction([p.score for p in points])})"))
    unit = (high - low) / height
    if group.chance is not None:
        said = f"chance {group.chance:.2f}"
        main.text(start + 0.05 * inch, group.chance + 0.04 * unit, said, size=8.5, color=MUTED, va="bottom")
    key(main, [(names[p.row.label], look[p.row.label], p.score.value) for p in points])
    titled(figure, f"{group.title}: score against compute", marks([p.score for p in points]))
    return figure


def _untrained(idle: Sequence[_Point]) -> bool:
    return not any(record.spend.usd or record.spend.examples for point in idle for record in point.row.records)


def _budget_flops(group: Group) -> float | None:
    parts = wording.budget_parts(group.budget)
    return parts[0] if parts and parts[1] == "flops" and parts[0] > 0 else None


def _power(value: float) -> str:
    """``5×10¹²`` for 12.699."""
    exponent = math.floor(value + 1e-9)
    factor = round(10 ** (value - exponent))
    return f"{'' if factor == 1 else f'{factor}×'}10{str(exponent).translate(_SUPERSCRIPTS)}"


def _log_axis(axes: Axes, flops: Sequence[float], budget: float | None) -> tuple[float, float]:
    """Ticks, and the budget as a line; returns the axis' ends as powers of ten, at least one decade apart."""
    found = [math.log10(value) for value in [*flops, *([budget] if budget else [])]]
    low, high = min(found) - 0.25, max(found) + 0.12
    low = min(low, high - 1.15)
    axes.set_xlim(low, high)
    span, whole = high - low, range(math.floor(low), math.ceil(high) + 1)
    factors = (1, 2, 5) if span < 2.5 else (1,)
    strides = whole if span < 8 else whole[:: math.ceil(span / 8)]
    ticks = [math.log10(factor) + decade for decade in strides for factor in factors]
    between = [math.log10(factor) + decade for decade in whole for factor in range(2, 10)]
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if low + 0.05 * span < tick < high]))
    axes.xaxis.set_minor_locator(FixedLocator([tick for tick in between if low < tick < high]) if span < 5 else NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _power(value)))
    if budget:
        place = math.log10(budget)
        axes.axvline(place, color=MUTED, lw=1, zorder=1)
        side = "right" if place > high - 0.3 * span else "center"
        transform = axes.get_xaxis_transform()
        axes.text(
            place,
            1.01,
            f"budget {budget:.3g}".replace("e+", "e"),
            size=8.5,
            color=MUTED,
            ha=side,
            va="bottom",
            transform=transform,
        )
    return low, high


def _draw(axes: Axes, points: Sequence[_Point], places: Sequence[float], look: Mapping[str, Look]) -> None:
    for point, x in zip(points, places, strict=True):
        style, score = look[point.row.label], point.score
        if score.low is not None and score.high is not None:
            axes.plot([x, x], [score.low, score.high], color=style.colour, lw=1.8, alpha=0.6, solid_capstyle="round", zorder=2)
        if len(score.seeds) > 1:
            axes.plot([x] * len(score.seeds), score.seeds, ls="", marker="_", ms=8, mew=1.5, color=style.colour, zorder=3)
        axes.plot([x], [score.value], ls="", marker=style.marker, ms=7.5, mfc=style.colour, mec="white", mew=0.9, zorder=4)
