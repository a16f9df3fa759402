"""What looking up gives: every training mention that occurs in the text, the longest first. No language model."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from harness.choosing import AnswerLM
from harness.entities import Entity, parse_answer, words, write_answer
from harness.method import CannotDo, Fitted, Method, Settings, Work
from harness.task import Task


class DictionarySettings(Settings):
    fold_case: bool = True
    """whether "Aspirin" in a text is the "aspirin" of the training mentions"""


class _LookUp(AnswerLM):
    def __init__(self, task: Task, types: Mapping[tuple[str, ...], str], fold_case: bool) -> None:
        super().__init__(task)
        self.types, self.fold_case = types, fold_case
        self.longest = max(map(len, types), default=0)

    def answer(self, doc: Mapping[str, Any]) -> str:
        return write_answer(doc["text"], self.entities(doc["text"]))

    def entities(self, text: str) -> list[Entity]:
        """From left to right, the longest known mention that begins at a word; the search goes on behind it."""
        known = words(text)
        key = _key(text, self.fold_case)
        found, place = [], 0
        while place < len(known):
            for length in range(min(self.longest, len(known) - place), 0, -1):
                kind = self.types.get(key[place : place + length])
                if kind is not None:
                    found.append(Entity(known[place][0], known[place + length - 1][1], kind))
                    place += length
                    break
            else:
                place += 1
        return found


def _key(text: str, fold_case: bool) -> tuple[str, ...]:
    """A text's words and signs, as they are compared."""
    return tuple(text[start:end].lower() if fold_case else text[start:end] for start, end in words(text))


class Dictionary(Method):
    """Longest match of the training split's mentions at word borders; a mention of several types counts as its commonest.
    Reads the whole training split; its FLOPs are not counted, its seconds are."""

    name = "dictionary"
    label = "dictionary"
    summary = "looks up the training split's mentions in the text, no language model"
    uses_model = False
    engine = ("choosing", "entities")
    Settings = DictionarySettings

    def fit(self, work: Work) -> Fitted:
        if work.task.meta.kind != "entities":
            raise CannotDo(f"{self.name} looks up entities; {work.task.name} is a task of the kind {work.task.meta.kind}")
        work.budget_meter.start()
        seen: dict[tuple[str, ...], Counter] = defaultdict(Counter)
        for example in work.examples:
            for kind, mention in parse_answer(example.label, work.task.meta.entity_types) or []:
                seen[_key(mention, self.settings.fold_case)][kind] += 1
        types = {mention: counts.most_common(1)[0][0] for mention, counts in seen.items()}
        work.budget_meter.stop()
        return Fitted(
            _LookUp(work.task, types, self.settings.fold_case),
            trainable_parameters=len(types),
            stored_bytes=sum(len(" ".join(mention).encode()) for mention in types),
            examples=len(work.examples),
            epochs=1.0,
        )
