"""Markdown pieces, and the only door through which text from records reaches them: nothing in a record is trusted."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

import pandas as pd

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "$": "&#36;", "@": "&#64;"}
_BACKSLASHED = frozenset("\\`*_[]~#")
#: control, format (bidirectional overrides, zero widths), surrogate and private-use characters
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co"})


def visible(text: object, limit: int | None = None) -> str:
    """Any value as one line of visible characters, at most `limit` long. Hidden characters become U+FFFD; markup stays."""
    line = " ".join(str(text).split())
    line = "".join("\ufffd" if unicodedata.category(character) in _HIDDEN else character for character in line)
    if limit is not None and len(line) > limit:
        line = line[: limit - 1].rstrip() + "…"
    return line


def safe(text: object, limit: int | None = 200) -> str:
    """Any value as markdown that shows it literally, on one line, in a table cell too: no markup, HTML, link or mention works."""
    escaped = []
    for character in visible(text, limit):
        if character in _ENTITIES:
            escaped.append(_ENTITIES[character])
        elif character in _BACKSLASHED:
            escaped.append("\\" + character)
        else:
            escaped.append(character)
    line = "".join(escaped).replace("\\](", "\\]&#40;").replace("://", ":&#47;&#47;")
    return re.sub(r"(?i)www\.", lambda found: found[0][:-1] + "&#46;", line)


def code_block(text: object) -> str:
    """A fenced block with one line of `text`; the fence is longer than any run of backticks in it."""
    line = visible(text)
    longest = max((len(run) for run in re.findall(r"`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{line}\n{fence}"


def table(frame: pd.DataFrame, right: Collection[str] = ()) -> str:
    """A frame of strings that are already markdown as a table. Columns named in `right` are right-aligned."""
    names = [str(name) for name in frame.columns]
    rule = ["---:" if name in right else ":---" for name in names]
    rows = [names, rule, *[[str(cell) for cell in row] for row in frame.itertuples(index=False, name=None)]]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def picture(stem: str, alt: str, caption: str) -> str:
    """An image (``plots/<stem>.png``), a link to the same as SVG, and what it shows. `caption` is markdown, `alt` is any text."""
    return f"![{safe(alt)}](plots/{stem}.png)\n\n{caption} ([the same picture as SVG](plots/{stem}.svg))"


def bullets(items: Collection[str]) -> str:
    """A list of lines that are already markdown."""
    return "\n".join(f"- {item}" for item in items)


def listing(names: Collection[str], limit: int = 4) -> str:
    """``a``, ``a and b``, ``a, b and c``; beyond `limit` the rest is counted."""
    shown = list(names)
    if len(shown) > limit:
        shown = [*shown[: limit - 1], f"{len(names) - limit + 1} others"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else ""


def file_stem(text: str) -> str:
    """A name that is safe as part of a file's name on every system (letters, digits, ``_`` and ``-``; at most 60)."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_-")[:60] or "task"
