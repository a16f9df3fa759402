"""The picture of entities in their texts: the reference above each method's answer, coloured and labelled."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from reports.disagreements import Answers
from reports.entities import Marks, Span, marks
from reports.plots import FAINT, INK, MUTED, axes_at, fit_all, plain, titled, width_of

#: pale enough for black letters, told apart with any colour vision by their labels
_TINTS = ("#A6D8F5", "#FFD08A", "#B5E3C8", "#F3C1DD", "#D9D2A0", "#C9C4EE", "#F5B8A0", "#D0D0D0")
_SIZE = 9.0
#: inches: a character of the text (DejaVu Sans Mono), a line of it
_WIDE, _LINE = 0.6021 * _SIZE / 72, 0.36
_COLUMNS = 96
_WRONG = "#B00020"


@dataclass(frozen=True)
class _Row:
    name: str
    shown: Marks
    spans: tuple[Span, ...]
    is_reference: bool


def entity_picture(title: str, methods: Sequence[Answers], doc_ids: Sequence[str], types: Sequence[str]) -> Figure:
    """One block a sample: the text with the reference's entities, then with each method's. Every sample needs its text."""
    blocks = [_block(methods, doc_id) for doc_id in doc_ids]
    names = fit_all(list(dict.fromkeys(row.name for block in blocks for row in block)), 22)
    left = 0.35 + width_of(names.values(), 9)
    tall = sum(_height(row) for block in blocks for row in block) + 0.3 * len(blocks)
    figure = Figure(figsize=(left + _COLUMNS * _WIDE + 0.3, tall + 1.15))
    axes = axes_at(figure, 0.0, 0.1, figure.get_size_inches()[0], tall + 0.45)
    axes.set_axis_off()
    axes.set_xlim(0, figure.get_size_inches()[0])
    axes.set_ylim(tall + 0.45, 0)
    colours = {kind: _TINTS[number % len(_TINTS)] for number, kind in enumerate(types)}
    _legend(axes, colours)
    top = 0.45
    for block in blocks:
        axes.plot([0.15, figure.get_size_inches()[0] - 0.15], [top, top], color=FAINT, lw=0.8)
        top += 0.12
        for row in block:
            weight = "bold" if row.is_reference else "normal"
            axes.text(0.15, top + 0.24, names[row.name], size=9, weight=weight, va="center", color=INK)
            _draw(axes, row, left, top, colours)
            top += _height(row)
        top += 0.18
    titled(
        figure,
        f"{title}: entities in the text",
        "the right entities, and what each method marked; dashed and ✗: marked wrongly; dotted: missed",
    )
    return figure


def _block(methods: Sequence[Answers], doc_id: str) -> list[_Row]:
    found = [(method.label, marks(method.samples[doc_id])) for method in methods]
    rows = [_Row(label, shown, shown.predicted, False) for label, shown in found if shown is not None]
    return [_Row("reference", rows[0].shown, rows[0].shown.reference, True), *rows]


def _lines(text: str) -> list[tuple[int, str]]:
    """(first character's place, line) of a text broken at blanks; each character keeps its place."""
    found, start = [], 0
    level = "".join(" " if character.isspace() else character for character in text)
    for line in textwrap.wrap(level, _COLUMNS, drop_whitespace=False, replace_whitespace=False, expand_tabs=False) or [""]:
        found.append((start, line))
        start += len(line)
    return found


def _notes(row: _Row) -> str:
    if not row.shown.valid and not row.is_reference:
        return "its answer cannot be read"
    if row.is_reference or not row.shown.outside:
        return ""
    return "not in the text: " + ", ".join(f"{mention} ({kind})" for kind, mention in row.shown.outside)


def _height(row: _Row) -> float:
    return _LINE * len(_lines(row.shown.text or "")) + (0.2 if _notes(row) else 0.0) + 0.04


def _draw(axes: Axes, row: _Row, left: float, top: float, colours: dict[str, str]) -> None:
    right = row.shown.right
    lines = _lines(row.shown.text or "")
    for number, (first, line) in enumerate(lines):
        middle = top + number * _LINE + 0.24
        for start, end, kind in row.spans:
            begin, stop = max(start, first), min(end, first + len(line))
            if begin < stop:
                wrong = not row.is_reference and (start, end, kind) not in right
                label = (kind[:4] + (" ✗" if wrong else "")) if begin == start else ""
                _box(axes, left + (begin - first) * _WIDE, middle, (stop - begin) * _WIDE, colours.get(kind, FAINT), wrong, label)
        for start, end, _ in () if row.is_reference else sorted(set(row.shown.reference) - right):
            begin, stop = max(start, first), min(end, first + len(line))
            if begin < stop:  # missed: a dotted line below
                across = [left + (begin - first) * _WIDE, left + (stop - first) * _WIDE]
                axes.plot(across, [middle + 0.115] * 2, color=_WRONG, lw=1.1, ls=(0, (1, 1.2)))
        for place, character in enumerate(line):
            if not character.isspace():
                x = left + (place + 0.5) * _WIDE
                axes.text(x, middle, plain(character), size=_SIZE, family="DejaVu Sans Mono", ha="center", va="center", color=INK)
    if said := _notes(row):
        room = int(_COLUMNS * 1.05)
        below = top + _LINE * len(lines) + 0.1
        axes.text(left, below, plain(said, room), size=8, style="italic", va="center", color=_WRONG)


def _box(axes: Axes, x: float, middle: float, width: float, colour: str, wrong: bool, label: str) -> None:
    edge = {"edgecolor": _WRONG, "linestyle": (0, (2.5, 1.5)), "linewidth": 1.1} if wrong else {"edgecolor": "none"}
    axes.add_patch(
        FancyBboxPatch((x, middle - 0.085), width, 0.17, boxstyle="round,pad=0.012,rounding_size=0.03", facecolor=colour, **edge)
    )
    if label:
        axes.text(x, middle - 0.145, plain(label), size=5.4, va="center", ha="left", color=_WRONG if wrong else MUTED)


def _legend(axes: Axes, colours: dict[str, str]) -> None:
    x = 0.15
    for kind, colour in colours.items():
        wide = width_of([kind], 8.5)
        _box(axes, x + 0.03, 0.2, wide + 0.1, colour, False, "")
        axes.text(x + 0.08, 0.2, plain(kind), size=8.5, va="center", color=INK)
        x += wide + 0.3
