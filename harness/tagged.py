"""Published entity sets give tokens with tags: back to text as it would be printed, with characters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.entities import fault

#: signs that stand without a blank before them, behind them, or on either side
_NONE_BEFORE, _NONE_BEHIND = frozenset(",.;:)]%-/'"), frozenset("([-/'")


def text_from_tags(tokens: Sequence[str], tags: Sequence[str]) -> dict[str, Any]:
    """Tokens with IOB2 tags (``B-TYPE``, ``I-TYPE``, ``O``) as a document with `text` and `entities` (start, end, type).

    An ``I-`` that continues nothing of its type begins an entity (as in seqeval's default mode).
    """
    text, entities, before = "", [], "O"
    for number, (token, tag) in enumerate(zip(tokens, tags, strict=True)):
        glued = number == 0 or token[0] in _NONE_BEFORE or tokens[number - 1][-1] in _NONE_BEHIND
        text += token if glued else f" {token}"
        if tag.startswith("I-") and before[2:] == tag[2:]:
            entities[-1]["end"] = len(text)
        elif tag != "O":
            entities.append({"start": len(text) - len(token), "end": len(text), "type": tag[2:]})
        before = tag
    return {"text": text, "entities": entities}


def distinct(splits: Mapping[str, Iterable[dict]], types: Sequence[str] = ()) -> dict[str, list[dict]]:
    """The documents of each split, every `text` once: a text of the test split is not trained on, one of validation neither.
    With `types`, documents whose entities an answer could not say (`fault`) are left out."""
    seen: set[str] = set()
    found: dict[str, list[dict]] = {}
    for split in sorted(splits, key=["test", "validation", "train"].index):
        found[split] = []
        for doc in splits[split]:
            known = " ".join(doc["text"].split()).lower()
            if known and known not in seen and not (types and fault(doc, types)):
                seen.add(known)
                found[split].append(doc)
    return found
