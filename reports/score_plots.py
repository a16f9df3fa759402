"""The picture of scores by method, and how scores are put on an axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports import wording
from reports.groups import Group, Score
from reports.plots import INK, MUTED, Look, axes_at, fit_all, plain, titled, width_of


def limits(group: Group, scores: Sequence[Score]) -> tuple[float, float]:
    """0 to 1 where everything lies within, else a little more than what there is."""
    values = [v for s in scores for v in (s.value, s.low, s.high, *s.seeds) if v is not None]
    values += [group.chance] if group.chance is not None else []
    low, high = min(values), max(values)
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    margin = 0.06 * (high - low or abs(high) or 1.0)
    return low - margin, high + margin


def direction(scores: Sequence[Score]) -> str:
    """``higher is better`` or ``lower is better``."""
    return "higher is better" if scores[0].higher_is_better else "lower is better"


def marks(scores: Sequence[Score]) -> str:
    """What marks and lines mean."""
    if any(len(score.seeds) > 1 for score in scores):
        return "mark: mean of the seeds; ticks: each seed; line: from the lowest to the highest end of their 95 % intervals"
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
    height, top, bottom = step * len(labels), 0.95, 0.62
    figure = Figure(figsize=(left + 4.4 + right, height + top + bottom))
    axes = axes_at(figure, left, bottom, 4.4, height)
    scores = [score for _, score in ranked]
    axes.set_xlim(*limits(group, scores))
    axes.set_ylim(len(labels) - 0.5, -0.5)
    for place, (row, score) in enumerate(ranked):
        style = look[row.label]
        if score.low is not None and score.high is not None:
            axes.plot([score.low, score.high], [place, place], color=style.colour, lw=2.2, solid_capstyle="round", alpha=0.75)
        if len(score.seeds) > 1:
            axes.plot(
                score.seeds, [place] * len(score.seeds), ls="", marker="|", ms=10, mew=1.6, color=style.colour, clip_on=False
            )
        axes.plot(
            [score.value],
            [place],
            ls="",
            marker=style.marker,
            ms=8,
            mfc=style.colour,
            mec="white",
            mew=0.9,
            zorder=3,
            clip_on=False,
        )
        _beside(axes, place, values[row.label])
    for place, row in enumerate(unranked, start=len(ranked)):
        axes.text(
            0.01,
            place,
            plain(row.entries[0].status.replace("ok", "no value")),
            color=MUTED,
            style="italic",
            va="center",
            transform=axes.get_yaxis_transform(),
        )
        _beside(axes, place, wording.NONE)
    axes.set_yticks(range(len(labels)), [names[label] for label in labels])
    for number, tick in enumerate(axes.get_yticklabels()):
        tick.set_color(INK if number < len(ranked) else MUTED)
        tick.set_fontsize(9.5)
    axes.tick_params(axis="y", length=0, pad=8)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(plain(f"{wording.metric_name(group.main_metric)} ({direction(scores)})"))
    heads = axes.get_xaxis_transform()
    axes.text(1.04, 1.0, "score (95 % interval)", transform=axes.transAxes, size=8.5, color=MUTED, va="bottom")
    if group.chance is not None:
        axes.axvline(group.chance, color=MUTED, ls=(0, (4, 3)), lw=1, zorder=1)
        axes.text(
            group.chance, 1.0, f"chance {group.chance:.2f}", size=8.5, color=MUTED, ha="center", va="bottom", transform=heads
        )
    titled(figure, f"{group.title}: score by method", marks(scores))
    return figure


def _beside(axes: Axes, place: float, text: str) -> None:
    axes.text(1.04, place, text, size=9, va="center_baseline", transform=axes.get_yaxis_transform())
