"""Two pictures of scores: by method, and against the compute that was spent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from reports import wording
from reports.groups import Group, Row, Score
from reports.plots import FAINT, INK, MUTED, ZONE, Look, axes_at, fit_all, plain, spread, titled, width_of

_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def _limits(group: Group, scores: Sequence[Score]) -> tuple[float, float]:
    """0 to 1 where everything lies within, else a little more than what there is."""
    values = [v for s in scores for v in (s.value, s.low, s.high, *s.seeds) if v is not None]
    values += [group.chance] if group.chance is not None else []
    low, high = min(values), max(values)
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    margin = 0.06 * (high - low or abs(high) or 1.0)
    return low - margin, high + margin


def _direction(scores: Sequence[Score]) -> str:
    return "higher is better" if scores[0].higher_is_better else "lower is better"


def _marks(scores: Sequence[Score]) -> str:
    if any(len(score.seeds) > 1 for score in scores):
        return "large mark: mean of the seeds; small: each seed; line: from the lowest to the highest end of their 95 % intervals"
    return "mark: score; line: 95 % interval"


def scores_picture(group: Group, look: Mapping[str, Look]) -> Figure:
    """Score with interval by method, best at the top, the chance level as a dashed line; methods without a score are named."""
    ranked, unranked = group.ranked(), group.unranked()
    labels = [row.label for row, _ in ranked] + [row.label for row in unranked]
    names = fit_all(labels, 30, 2)
    values = {row.label: wording.with_interval(score.value, score.low, score.high) for row, score in ranked}
    step = 0.46 if any("\n" in name for name in names.values()) else 0.36
    left = 0.35 + width_of(names.values())
    right = 0.4 + max(width_of(values.values(), 9), width_of(["score (95 % interval)"], 8.5))
    height, top, bottom = step * len(labels), 1.05, 0.62
    figure = Figure(figsize=(left + 4.4 + right, height + top + bottom))
    axes = axes_at(figure, left, bottom, 4.4, height)
    scores = [score for _, score in ranked]
    axes.set_xlim(*_limits(group, scores))
    axes.set_ylim(len(labels) - 0.5, -0.5)
    for place, (row, score) in enumerate(ranked):
        style = look[row.label]
        if score.low is not None and score.high is not None:
            axes.plot([score.low, score.high], [place, place], color=style.colour, lw=2.2, solid_capstyle="round", alpha=0.75)
        if len(score.seeds) > 1:
            axes.plot(score.seeds, [place] * len(score.seeds), ls="", marker=style.marker, ms=4, mfc="white", mec=style.colour, zorder=4)
        axes.plot([score.value], [place], ls="", marker=style.marker, ms=8, mfc=style.colour, mec="white", mew=0.9, zorder=3)
        _beside(axes, place, values[row.label])
    for place, row in enumerate(unranked, start=len(ranked)):
        axes.text(0.01, place, plain(row.entries[0].status), color=MUTED, style="italic", va="center", transform=axes.get_yaxis_transform())
        _beside(axes, place, wording.NONE)
    axes.set_yticks(range(len(labels)), [names[label] for label in labels])
    for number, tick in enumerate(axes.get_yticklabels()):
        tick.set_color(INK if number < len(ranked) else MUTED)
        tick.set_fontsize(9.5)
    axes.tick_params(axis="y", length=0, pad=8)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(plain(f"{wording.metric_name(group.main_metric)} ({_direction(scores)})"))
    heads = axes.get_xaxis_transform()
    axes.text(1.04, 1.0, "score (95 % interval)", transform=axes.transAxes, size=8.5, color=MUTED, va="bottom")
    if group.chance is not None:
        axes.axvline(group.chance, color=MUTED, ls=(0, (4, 3)), lw=1, zorder=1)
        axes.text(group.chance, 1.0, f"chance {group.chance:.2f}", size=8.5, color=MUTED, ha="center", va="bottom", transform=heads)
    titled(figure, f"{group.title}: score by method", _marks(scores))
    return figure


def _beside(axes: Axes, place: float, text: str) -> None:
    axes.text(1.04, place, text, size=9, va="center", transform=axes.get_yaxis_transform())


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
    names = {label: f"{name}  {wording.score(group_score.value)}" for (label, name), group_score in _with_scores(points)}
    height, bottom, top, left = max(3.1, 0.21 * max(len(idle), len(trained)) + 0.4), 0.62, 0.95, 0.78
    zone = 0.0 if not idle else max(1.25, 0.55 + 0.09 * len(idle) + width_of([names[p.row.label] for p in idle], 9))
    gap = 0.14 if idle else 0.0
    plot, right = 4.2, 0.45 + width_of([names[p.row.label] for p in trained], 9)
    figure = Figure(figsize=(left + zone + gap + plot + right, bottom + height + top))
    low, high = _limits(group, [p.score for p in points])
    edge = 0.03 * (high - low)  # so that a mark at 0 or 1 is not cut
    unit = (high - low + 2 * edge) / height
    main = axes_at(figure, left + zone + gap, bottom, plot, height)
    main.set_ylim(low - edge, high + edge)
    ends = _log_axis(main, [p.flops for p in trained], _budget_flops(group))
    per_inch = (ends[1] - ends[0]) / plot
    limit = _budget_flops(group)
    stop = ends[1] if limit is None else math.log10(limit) - 0.07 * per_inch
    places = spread([math.log10(p.flops) for p in trained], 0.09 * per_inch, ends[0], max(stop, math.log10(max(p.flops for p in trained))))
    _draw(main, trained, places, look)
    _name(main, trained, places, names, unit, 1.0 + 0.22 / plot, (low - edge, high + edge))
    first = main
    if idle:
        first = axes_at(figure, left, bottom, zone, height)
        first.set_facecolor(ZONE)
        first.set_xlim(0, zone)
        first.set_ylim(low - edge, high + edge)
        inside = spread([0.16] * len(idle), 0.09, 0.16, zone)
        _draw(first, idle, inside, look)
        _name(first, idle, inside, names, unit, (0.38 + 0.09 * len(idle)) / zone, (low - edge, high + edge))
        first.set_xticks([])
        first.set_xlabel("untrained\n(no training FLOPs)" if _untrained(idle) else "no training\nFLOPs counted")
        first.spines["bottom"].set_visible(False)
        main.tick_params(axis="y", length=0, labelleft=False)
        main.spines["left"].set_visible(False)
        first.grid(axis="y", color="white" if idle else FAINT)
    first.set_ylabel(plain(f"{wording.metric_name(group.main_metric)} ({_direction([p.score for p in points])})"))
    main.grid(axis="y")
    main.set_xlabel("training FLOPs (each step to the right is ten times the compute)")
    if group.chance is not None:
        for axes in {first, main}:
            axes.axhline(group.chance, color=MUTED, ls=(0, (4, 3)), lw=1, zorder=1)
        main.text(0.01, group.chance + 0.04 * unit, f"chance {group.chance:.2f}", size=8.5, color=MUTED, va="bottom", transform=main.get_yaxis_transform())
    titled(figure, f"{group.title}: score against compute", _marks([p.score for p in points]))
    return figure


def _with_scores(points: Sequence[_Point]) -> list[tuple[tuple[str, str], Score]]:
    names = fit_all([p.row.label for p in points], 26)
    return [((p.row.label, names[p.row.label]), p.score) for p in points]


def _untrained(idle: Sequence[_Point]) -> bool:
    return not any(record.spend.usd for point in idle for record in point.row.records)


def _budget_flops(group: Group) -> float | None:
    parts = wording.budget_parts(group.budget)
    return parts[0] if parts and parts[1] == "flops" and parts[0] > 0 else None


def _log_axis(axes: Axes, flops: Sequence[float], budget: float | None) -> tuple[float, float]:
    """Decades as ticks, the budget as a line; returns the axis' ends as powers of ten, at least one and a half decades apart."""
    found = [math.log10(value) for value in [*flops, *([budget] if budget else [])]]
    low, high = min(found) - 0.35, max(found) + 0.15
    low = min(low, high - 1.5)
    axes.set_xlim(low, high)
    decades = list(range(math.ceil(low), math.floor(high) + 1))
    minor = [math.log10(m) + d for d in range(math.floor(low), math.ceil(high) + 1) for m in range(2, 10)]
    axes.xaxis.set_major_locator(FixedLocator(decades))
    axes.xaxis.set_minor_locator(FixedLocator([m for m in minor if low < m < high]) if high - low < 6 else NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"10{str(round(value)).translate(_SUPERSCRIPTS)}"))
    if budget:
        place = math.log10(budget)
        axes.axvline(place, color=MUTED, lw=1, zorder=1)
        said = f"budget {wording.flops(budget)}"
        axes.text(place, 1.01, said, size=8.5, color=MUTED, ha="right" if place > high - 0.5 else "center", va="bottom", transform=axes.get_xaxis_transform())
    return low, high


def _draw(axes: Axes, points: Sequence[_Point], places: Sequence[float], look: Mapping[str, Look]) -> None:
    for point, x in zip(points, places, strict=True):
        style, score = look[point.row.label], point.score
        if score.low is not None and score.high is not None:
            axes.plot([x, x], [score.low, score.high], color=style.colour, lw=1.8, alpha=0.6, solid_capstyle="round", zorder=2)
        if len(score.seeds) > 1:
            axes.plot([x] * len(score.seeds), score.seeds, ls="", marker=style.marker, ms=3.5, mfc="white", mec=style.colour, zorder=3)
        axes.plot([x], [score.value], ls="", marker=style.marker, ms=8, mfc=style.colour, mec="white", mew=0.9, zorder=4)


def _name(
    axes: Axes, points: Sequence[_Point], places: Sequence[float], names: Mapping[str, str], unit: float, at: float, ends: tuple[float, float]
) -> None:
    """Names in a column at `at` (share of the axes' width), a thin line from each mark to its name. `unit`: one inch of score."""
    rows = spread([p.score.value for p in points], 0.2 * unit, ends[0] + 0.08 * unit, ends[1] - 0.08 * unit)
    for point, x, y in zip(points, places, rows, strict=True):
        axes.annotate(
            names[point.row.label],
            xy=(x, point.score.value),
            xytext=(at, y),
            textcoords=axes.get_yaxis_transform(),
            size=9,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": "#AAAAAA", "lw": 0.7, "shrinkA": 2, "shrinkB": 5},
        )
