"""Entities as text: the grammar of an answer, from mentions back to characters, and from characters to IOB2 tags.

A model answers with one line, the entities in the order of the text (ABNF, RFC 5234, and what it leaves to prose)::

    answer  = "none" / entity *(";" entity)
    entity  = type ":" mention      ; blanks around types and mentions do not count
    type    = one of the task's entity types, in any case (written in lower case: those are fewer tokens)
    mention = 1*(any character but ";" and line ends)

A line that is anything else is no answer: it finds nothing, and it is charged one entity that does not exist (`INVALID`),
so that neither nonsense nor silence is mistaken for "none". Of a line that parses, every mention is looked for in the
text, by these rules:

1. A mention stands where the text has exactly its characters (runs of blanks count as one), beginning and ending where
   words or signs do (`words`): "May" is not in "Mayfield".
2. Mentions are placed in the order of the answer, each at the first such place behind the one placed before it, else at the
   first such place anywhere, never over a place that is taken. So a mention that is repeated takes the occurrences in turn.
3. A mention for which there is no place (not in the text, or more often than the text has it) is *outside*: it costs
   precision, as a tag at a position of its own where nothing is to be found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NONE = "none"
#: the type that an answer outside the grammar is charged with
INVALID = "INVALID"
#: combining accents belong to the letter before them
_WORD = re.compile(r"\w[\w\u0300-\u036f]*|[^\w\s]")


@dataclass(frozen=True, order=True)
class Entity:
    """Characters `start` to `end` (exclusive) of a text, of one type."""

    start: int
    end: int
    type: str


@dataclass(frozen=True)
class Reading:
    """What an answer says of a text."""

    entities: tuple[Entity, ...] = ()
    """those that have a place, in text order"""
    outside: tuple[tuple[str, str], ...] = ()
    """(type, mention) of those that have none"""
    valid: bool = True
    """whether the answer follows the grammar"""


def entities_of(doc: Mapping[str, Any]) -> list[Entity]:
    """The reference entities of a document (columns `text` and `entities`: start, end, type), in text order."""
    return sorted(Entity(int(one["start"]), int(one["end"]), str(one["type"])) for one in doc["entities"])


def fault(doc: Mapping[str, Any], types: Sequence[str]) -> str:
    """What is wrong with a document's reference entities, in words; empty where nothing is."""
    text, known = doc["text"], words(doc["text"])
    starts, ends = {start for start, _ in known}, {end for _, end in known}
    before = 0
    for one in entities_of(doc):
        said = f"entity {one.type} at {one.start} to {one.end}"
        if one.type not in types:
            return f"{said} is of a type that is not declared (metadata.tunebench.entity_types: {', '.join(types)})"
        if not 0 <= one.start < one.end <= len(text):
            return f"{said} lies outside the text ({len(text)} characters)"
        if one.start not in starts or one.end not in ends:
            return f"{said} ('{text[one.start : one.end]}') cuts a word, or begins or ends with a blank"
        if one.start < before:
            return f"{said} overlaps the one before it"
        if ";" in text[one.start : one.end] or "\n" in text[one.start : one.end]:
            return f"{said} holds a semicolon or a line end, which an answer cannot say"
        before = one.end
    return ""


def answer_line(doc: Mapping[str, Any]) -> str:
    """The right answer for a document: ``name: Rosa Lind; date: 3 May`` or ``none``."""
    return write_answer(doc["text"], entities_of(doc))


def write_answer(text: str, entities: Iterable[Entity]) -> str:
    """Entities of a text as an answer, in the order given."""
    found = [f"{one.type.lower()}: {' '.join(text[one.start : one.end].split())}" for one in entities]
    return "; ".join(found) or NONE


def parse_answer(line: str, types: Sequence[str]) -> list[tuple[str, str]] | None:
    """(type, mention) pairs in the answer's order; None where the line is not in the grammar."""
    line = line.strip()
    if line.lower() == NONE:
        return []
    if len(line.splitlines()) > 1:
        return None
    known = {name.lower(): name for name in types}
    found = []
    for part in line.split(";"):
        name, colon, mention = part.partition(":")
        mention = " ".join(mention.split())
        if not colon or not mention or name.strip().lower() not in known:
            return None
        found.append((known[name.strip().lower()], mention))
    return found


def read_answer(text: str, line: str, types: Sequence[str]) -> Reading:
    """Parse an answer and place its mentions in the text, by the rules at the head of this file."""
    mentions = parse_answer(line, types)
    if mentions is None:
        return Reading(valid=False)
    known = words(text)
    starts, ends = {start for start, _ in known}, {end for _, end in known}
    placed: list[Entity] = []
    outside: list[tuple[str, str]] = []
    taken = bytearray(len(text))
    behind = 0

    def first(pattern: re.Pattern, begin: int) -> tuple[int, int] | None:
        found = pattern.search(text, begin)
        while found:
            start, end = found.span()
            if start in starts and end in ends and not any(taken[start:end]):
                return start, end
            found = pattern.search(text, start + 1)
        return None

    for name, mention in mentions:
        pattern = re.compile(r"\s+".join(map(re.escape, mention.split())))
        place = first(pattern, behind) or first(pattern, 0)
        if place is None:
            outside.append((name, mention))
        else:
            placed.append(Entity(*place, name))
            taken[place[0] : place[1]] = b"\x01" * (place[1] - place[0])
            behind = place[1]
    return Reading(tuple(sorted(placed)), tuple(outside))


def unreadable(doc: Mapping[str, Any], types: Sequence[str]) -> str:
    """Why the right answer for a document does not read back as its entities; empty where it does. (A mention takes the first
    place that the text has for it: a reference that leaves that one unmarked cannot be said.)"""
    if list(read_answer(doc["text"], answer_line(doc), types).entities) == entities_of(doc):
        return ""
    return "its own answer reads back as other places (a mention also stands earlier in the text): mark the first one, or all"


def words(text: str) -> list[tuple[int, int]]:
    """(start, end) of each word (letters, digits, ``_``) and of each other visible sign by itself: the units of the tags."""
    return [found.span() for found in _WORD.finditer(text)]


def tags(text: str, entities: Iterable[Entity]) -> list[str]:
    """IOB2 tags of the text's `words`: ``B-TYPE`` where an entity begins, ``I-TYPE`` inside it, ``O`` elsewhere."""
    found = ["O"] * len(known := words(text))
    for one in entities:
        inside = [number for number, (start, end) in enumerate(known) if one.start <= start and end <= one.end]
        for number in inside:
            found[number] = f"{'B' if number == inside[0] else 'I'}-{one.type}"
    return found
