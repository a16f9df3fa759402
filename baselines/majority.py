"""The floor: always the commonest training answer, or a uniform guess."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from harness.choosing import AnswerLM, ChoiceLM, fixed_choices
from harness.method import Fitted, Method, Work
from harness.task import Task


class _Prior(ChoiceLM):
    def __init__(self, task: Task, prior: Mapping[str, float]) -> None:
        super().__init__(task)
        self.prior = prior

    def probabilities(self, texts: Sequence[str]) -> list[Mapping[str, float]]:
        return [self.prior for _ in texts]


class _Always(AnswerLM):
    def __init__(self, task: Task, line: str) -> None:
        super().__init__(task)
        self.line = line

    def answer(self, doc: Mapping[str, Any]) -> str:
        return self.line


class _Guess(ChoiceLM):
    def __init__(self, task: Task, choices: Sequence[str], seed: int) -> None:
        super().__init__(task)
        self.choices, self.seed = choices, seed

    def probabilities(self, texts: Sequence[str]) -> list[Mapping[str, float]]:
        guesses = (random.Random(f"{self.seed}:{text}").choice(self.choices) for text in texts)
        return [{choice: float(choice == guess) for choice in self.choices} for guess in guesses]


class Majority(Method):
    """Answer with the commonest label of the training split; for entities, with its commonest line (often ``none``)."""

    name = "majority"
    label = "majority class"
    summary = "always the commonest answer of the training split"
    uses_model = False
    engine = ("choosing",)

    def fit(self, work: Work) -> Fitted:
        counts = Counter(example.label for example in work.examples)
        if work.task.meta.kind == "entities":
            line = counts.most_common(1)[0][0]
            return Fitted(_Always(work.task, line), examples=len(work.examples), epochs=1.0, notes=[f"always answers: {line}"])
        choices = fixed_choices(work.task, self.name)
        work.budget_meter.start()
        prior = {choice: counts[choice] / len(work.examples) for choice in choices}
        work.budget_meter.stop()
        return Fitted(_Prior(work.task, prior), trainable_parameters=len(choices), examples=len(work.examples), epochs=1.0)


class Chance(Method):
    """Guess a label, all alike likely; the seed decides."""

    name = "chance"
    label = "chance"
    summary = "a uniform guess"
    trains = False
    uses_model = False
    engine = ("choosing",)

    def fit(self, work: Work) -> Fitted:
        return Fitted(_Guess(work.task, fixed_choices(work.task, self.name), work.seed))
