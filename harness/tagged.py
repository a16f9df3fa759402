"""Published entity sets give tokens with tags: back to text as it would be printed, with characters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.entities import fault
from harness.similar import plain, similar_pairs

#: signs that stand without a blank before them, behind them, or on either side
_NONE_BEFORE, _NONE_BEHIND = frozenset(",.;:)]%-/'"), frozenset("([-/'")


def text_from_tags(tokens: Sequence[str], tags: Sequence[str]) -> dict[str, Any]:
    """Tokens with IOB2 tags (``B-TYPE``, ``I-TYPE``, ``O``) as a document with `text` and `entities` (start, end, type).

    An ``I-`` that continues nothing of its type begins an entity (as in seqeval's default mode).
    """
    entities: list[dict[str, Any]] = []
    text, before = "", "O"
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
    """The documents of each split, every `text` once: what stands in the test split, or nearly (`similar_pairs`), is neither
    trained on nor in the validation split, and what stands in that is not trained on. With `types`, documents whose entities
    an answer could not say (`fault`) are left out."""
    seen: set[str] = set()
    before: list[str] = []
    found: dict[str, list[dict]] = {}
    for split in sorted(splits, key=["test", "validation", "train"].index):
        fresh = []
        for doc in splits[split]:
            known = plain(doc["text"])
            if known and known not in seen and not (types and fault(doc, types)):
                seen.add(known)
                fresh.append(doc)
        texts = [doc["text"] for doc in fresh]
        near = {position for _, position, _ in similar_pairs(before, texts)}
        found[split] = [doc for position, doc in enumerate(fresh) if position not in near]
        before += texts
    return found
