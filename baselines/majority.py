"""The floor: always the commonest training answer, or a uniform guess."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from harness.choosing import AnswerLM, ChoiceLM, fixed_choices
from harness.constraints import strict, words
from harness.instruction_scores import constraints_of
from harness.method import CannotDo, Fitted, Method, Work
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


#: words of an answer that may be repeated: what obeys by luck is short
_SHORT = 20


def _most_obedient(work: Work) -> Fitted:
    """The floor where constraints count: of the short training answers, the one that obeys most training prompts' constraints."""
    bounds = [found for found in map(constraints_of, work.task.docs("train")) if found]
    if not bounds:
        raise CannotDo(f"majority needs training prompts with constraints; {work.task.name} has none")
    answers = [answer for answer in dict.fromkeys(e.label for e in work.examples) if len(words(answer)) <= _SHORT]
    if not answers:
        raise CannotDo(f"majority repeats an answer of at most {_SHORT} words; {work.task.name} has none")
    best = max(answers, key=lambda answer: sum(all(strict(bound, answer)) for bound in bounds))
    return Fitted(_Always(work.task, best), examples=len(work.examples), epochs=1.0, notes=[f"always answers: {best}"])


class _Guess(ChoiceLM):
    def __init__(self, task: Task, choices: Sequence[str], seed: int) -> None:
        super().__init__(task)
        self.choices, self.seed = choices, seed

    def probabilities(self, texts: Sequence[str]) -> list[Mapping[str, float]]:
        guesses = (random.Random(f"{self.seed}:{text}").choice(self.choices) for text in texts)
        return [{choice: float(choice == guess) for choice in self.choices} for guess in guesses]


class Majority(Method):
    """Answer with the commonest label of the training split; for entities, with its commonest line (often ``none``); for
    instructions, with the short training answer that obeys the constraints of most training prompts."""

    name = "majority"
    label = "majority class"
    summary = "always the commonest answer of the training split"
    uses_model = False
    engine = ("choosing", "constraints", "instruction_scores")

    def fit(self, work: Work) -> Fitted:
        if work.task.meta.kind == "instruction":
            return _most_obedient(work)
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
