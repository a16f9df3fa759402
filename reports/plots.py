"""How every picture looks and is saved: colours and markers, titles, label placing, PNG and SVG. Matplotlib without pyplot."""

from __future__ import annotations

import contextlib
import io
import os
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ft2font import FT2Font

from harness.errors import UserError
from harness.record import atomic_write
from reports.markup import visible

#: Okabe and Ito's palette (readable with any colour vision) without its yellow, which is too pale on white, and two dark tones
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#222222", "#882255", "#8A8A2E")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h")
_LINES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
INK, MUTED, FAINT, ZONE = "#222222", "#666666", "#DDDDDD", "#F3F3F0"
_RC: dict[Any, object] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": "#999999",
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "tunebench",
}
DPI = 150


@dataclass(frozen=True)
class Look:
    """How one method is drawn in every picture of a report."""

    colour: str
    marker: str
    line: str | tuple[float, tuple[float, ...]]


def looks(labels: Iterable[str]) -> dict[str, Look]:
    """A colour, a marker and a line for each label, in order; colour and marker repeat together only after ninety."""
    unique = list(dict.fromkeys(labels))
    return {
        label: Look(_COLOURS[i % len(_COLOURS)], _MARKERS[i % len(_MARKERS)], _LINES[i // len(_COLOURS) % len(_LINES)])
        for i, label in enumerate(unique)
    }


@contextlib.contextmanager
def _style() -> Iterator[None]:
    """Our settings on matplotlib's own defaults, whatever the user's configuration says; put back afterwards."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)
        yield


def save(folder: Path, stem: str, build: Callable[[], Figure]) -> None:
    """Draw with `build` and write ``<stem>.png`` and ``<stem>.svg``, without dates or versions in them. Raises `UserError`."""
    with _style():
        figure = build()
        drawing, image = io.StringIO(), io.BytesIO()
        figure.savefig(drawing, format="svg", metadata={"Date": None, "Creator": None})
        figure.savefig(image, format="png", dpi=DPI, metadata={"Software": None})
    atomic_write(folder / f"{stem}.svg", drawing.getvalue())
    _write_bytes(folder / f"{stem}.png", image.getvalue())


def _write_bytes(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"cannot save {path}: {error.strerror or error}; free some space or choose another folder") from error


def _font() -> FT2Font:
    return get_font(findfont(FontProperties(family="DejaVu Sans")))


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(_font().get_charmap())


def plain(text: object, limit: int | None = None) -> str:
    """Any value as one line that the picture's font can draw; a character that it lacks becomes a box."""
    return "".join(c if ord(c) in _glyphs() else "□" for c in visible(text, limit))


def fit(text: object, width: int, lines: int = 1) -> str:
    """`text` within `lines` lines of `width` characters. A longer one loses its middle: names differ at their ends."""
    line = plain(text)
    for room in range(min(len(line), width * lines), 0, -1):
        tail = (room - 1) * 2 // 5
        short = line if room == len(line) else f"{line[: room - tail - 1].rstrip(' ,')}…{line[len(line) - tail :].lstrip(' ,')}"
        wrapped = textwrap.wrap(short, width)
        if len(wrapped) <= lines:
            return "\n".join(wrapped)
    return line[:width]


def fit_all(labels: Sequence[str], width: int, lines: int = 1) -> dict[str, str]:
    """`fit` for several labels; two that would look alike are numbered."""
    fitted: dict[str, str] = {}
    for label in labels:
        short = fit(label, width, lines)
        again = sum(known.rstrip("₁₂₃₄₅₆₇₈₉ ") == short for known in fitted.values())
        fitted[label] = f"{short} {'₁₂₃₄₅₆₇₈₉'[min(again, 8)]}" if again else short
    return fitted


def width_of(texts: Iterable[str], size: float = 9.5) -> float:
    """The width of the widest of `texts` (each may have several lines), in inches."""
    font, widest = _font(), 0
    font.set_size(size, 72)
    for line in (line for text in texts for line in text.split("\n")):
        font.set_text(line, 0.0)
        widest = max(widest, font.get_width_height()[0])
    return widest / 64 / 72


def spread(targets: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places at least `gap` apart, each as near its target as that allows, within `low` to `high` where there is room."""
    order = sorted(range(len(targets)), key=lambda i: (targets[i], i))
    blocks: list[list[float]] = []  # [sum of (target - index x gap), members]: a block of members stands shoulder to shoulder
    for index, i in enumerate(order):
        blocks.append([targets[i] - index * gap, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, members = blocks.pop()
            blocks[-1] = [blocks[-1][0] + total, blocks[-1][1] + members]
    flat = [total / members for total, members in blocks for _ in range(int(members))]
    last = len(order) - 1
    placed = [0.0] * len(targets)
    for index, i in enumerate(order):
        start = max(low, min(flat[index], high - last * gap))
        placed[i] = start + index * gap
    return placed


def titled(figure: Figure, title: str, subtitle: str, left: float = 0.15) -> None:
    """A bold title and a grey line under it at the top left. `left` in inches."""
    width, height = figure.get_size_inches()
    room = int((width - 2 * left) / 0.098)
    figure.text(left / width, 1 - 0.14 / height, fit(title, room), size=12, weight="bold", va="top")
    figure.text(left / width, 1 - 0.40 / height, plain(subtitle), size=9, color=MUTED, va="top")


def axes_at(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a place given in inches from the figure's lower left corner."""
    full_width, full_height = figure.get_size_inches()
    return figure.add_axes((left / full_width, bottom / full_height, width / full_width, height / full_height))


def key(axes: Axes, entries: Sequence[tuple[str, Look, float]]) -> None:
    """The mark and name of each entry in a column at the right of `axes`, as near its own height as fits.

    Entries are (name, look, height in the axes' data); of two equal ones the first stands higher.
    """
    low, high = axes.get_ylim()
    inch = axes.figure.dpi
    across, unit = inch / axes.bbox.width, (high - low) * inch / axes.bbox.height
    heights = spread([height for _, _, height in entries][::-1], 0.22 * unit, low + 0.1 * unit, high - 0.1 * unit)[::-1]
    place = axes.get_yaxis_transform()
    for (name, look, _), y in zip(entries, heights, strict=True):
        mark: dict[str, Any] = {"marker": look.marker, "ms": 7, "mfc": look.colour, "mec": "white", "mew": 0.6}
        axes.plot([1 + 0.26 * across], [y], transform=place, clip_on=False, **mark)
        axes.text(1 + 0.4 * across, y, name, size=9, va="center_baseline", transform=place)
