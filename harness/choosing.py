"""Predictors without a language model, in the shape that lm-eval asks for: probabilities of choices, or lines of text."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from harness.method import CannotDo
from harness.task import Task


class _WithoutModel:
    """The methods of lm-eval's ``LM``, none of which it can do. (It does not inherit that class: importing it takes seconds,
    and a run with nothing to do imports this.)"""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.flops = 0.0
        self.generated_tokens = 0
        self.seconds = 0.0

    def batch_plan(self) -> str:
        return ""

    def loglikelihood(self, requests: Any, disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        raise CannotDo("this method writes answers and cannot rate given ones")

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
        raise CannotDo("this method cannot rate free text")

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
        raise CannotDo("this method chooses among fixed labels and cannot write text")


class ChoiceLM(_WithoutModel, ABC):
    """Answers multiple-choice requests with log-probabilities from `probabilities`."""

    @abstractmethod
    def probabilities(self, texts: Sequence[str]) -> list[Mapping[str, float]]:
        """For each text, a probability by choice."""

    def loglikelihood(self, requests: Any, disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        started = time.perf_counter()
        texts = [self.task.text(request.doc) for request in requests]
        unique = list(dict.fromkeys(texts))
        known = dict(zip(unique, self.probabilities(unique), strict=True))
        answers = []
        for request, text in zip(requests, texts, strict=True):
            choice = self.task.choices[request.idx]
            probability = known[text].get(choice, 0.0)
            best = max(known[text].values(), default=0.0)
            answers.append((math.log(max(probability, 1e-12)), probability == best))
        self.seconds += time.perf_counter() - started
        return answers


class AnswerLM(_WithoutModel, ABC):
    """Answers generation requests with a line from `answer`."""

    @abstractmethod
    def answer(self, doc: Mapping[str, Any]) -> str:
        """The line for a document."""

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
        started = time.perf_counter()
        answers = [self.answer(request.doc) for request in requests]
        self.seconds += time.perf_counter() - started
        return answers


def fixed_choices(task: Task, method: str) -> tuple[str, ...]:
    """The task's fixed choices; raises `CannotDo` where it has none."""
    if task.meta.kind != "classification":
        raise CannotDo(f"{method} needs fixed labels to choose from; {task.name} is a task of the kind {task.meta.kind}")
    return task.choices
