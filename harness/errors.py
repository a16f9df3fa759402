"""The one exception for "the user can mend this": printed as one line, exit status 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Bad input. The message is one line: what is wrong, where (file and line), and how to mend it."""


class CannotSave(UserError):
    """A result that could not be written: never a warning."""


def unknown(kind: str, name: str, known: Iterable[str], *, mend: str = "") -> UserError:
    """An error for a name that nothing answers to, with the nearest names that do."""
    known = sorted(set(known))
    near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5) or [k for k in known if name.lower() in k][:3]
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif len(known) <= 12:
        hint = f"known: {', '.join(known)}"
    else:
        hint = f"{len(known)} are known"
    return UserError(f"unknown {kind} '{name}': {hint}{' ' + mend if mend else ''}")


def one_line(text: object, limit: int = 300) -> str:
    """Any text (an exception's message, say) squeezed into one line of at most `limit` characters."""
    line = " ".join(str(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
