"""What will be trained on: pairs as tokens, and a list of batches that ends exactly where the budget does."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from harness.budget import Meter
from harness.errors import UserError
from harness.flops import CostModel
from harness.method import Settings
from harness.model import tokenise
from harness.task import Example

#: how many passes over the data a budget that is not counted ahead may ask for
_MOST_EPOCHS = 1000
#: batches within which examples are sorted by length, so that little is padded and much is still random
_WINDOW = 4


class SupervisedSettings(Settings):
    """What every supervised method can be told."""

    learning_rate: float = Field(gt=0)
    batch_size: int = Field(default=8, ge=1)
    warmup_share: float = Field(default=0.1, ge=0, le=1)
    """share of the budget over which the learning rate rises; it falls to zero over the rest"""
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    epochs: float | None = Field(default=None, gt=0)
    """passes over the training data after which training ends, though the budget may pay for more (none: the budget alone
    decides)"""


@dataclass(frozen=True)
class Encoded:
    """A training pair as tokens: `supervised` of them, at the end, carry loss."""

    ids: tuple[int, ...]
    supervised: int


def encode(examples: Sequence[Example], tokenizer: Any, max_length: int) -> list[Encoded]:
    """Tokenise as evaluation does (the whole text, then split where the prompt's tokens end). Pairs that are too long lose
    the beginning of their prompt. Refuses a training set in which nothing would carry loss."""
    found = []
    for example in examples:
        end = tokenizer.eos_token if example.ends else ""
        whole = tokenise(tokenizer, example.prompt + example.completion + end)
        prompt = tokenise(tokenizer, example.prompt)
        shared = 0
        while shared < min(len(prompt), len(whole)) and prompt[shared] == whole[shared]:
            shared += 1
        supervised = min(len(whole) - max(1, shared), max_length - 1)
        if supervised > 0:
            found.append(Encoded(tuple(whole[-max_length:]), supervised))
    if not found:
        raise UserError("no token of the training split would be supervised: its completions are empty")
    return found


@dataclass(frozen=True)
class Plan:
    """The examples that will be trained on, batch by batch, and what each example costs."""

    batches: tuple[tuple[int, ...], ...]
    """indices into the encoded training set"""
    flops: tuple[float, ...]
    """by index"""
    epochs: float
    examples: int
    whole: bool = False
    """whether it holds all the passes that were asked for, and so ends before the budget does"""


def make_plan(
    encoded: Sequence[Encoded], costs: CostModel, meter: Meter, batch_size: int, seed: int, epochs: float | None = None
) -> Plan:
    """Shuffled passes over the data, cut before the first example that the budget cannot pay: short by less than one; or
    after so many `epochs`, where that is earlier.

    A budget in seconds or dollars is not known ahead; its plan is long, and training stops by the clock.
    """
    most = max(1, round(epochs * len(encoded))) if epochs is not None else None
    flops = tuple(costs.train(len(e.ids), logits=e.supervised) for e in encoded)
    counted = meter.budget is not None and meter.budget.unit in ("flops", "tok")
    spent, limit = meter.spent(), meter.budget.amount if meter.budget else 0.0
    shuffle = random.Random(seed)
    chosen: list[int] = []
    full = whole = False
    for epoch in itertools.count():
        if not counted and epoch == _MOST_EPOCHS:
            break
        order = list(range(len(encoded)))
        shuffle.shuffle(order)
        for index in order:
            if most is not None and len(chosen) == most:
                full = whole = True
                break
            price = meter.price(flops=flops[index], tokens=len(encoded[index].ids))
            if counted and spent + price > limit:
                full = True
                break
            spent += price
            chosen.append(index)
        if full or (not counted and len(chosen) > 200_000):
            break
    if not chosen:
        cheapest = min(flops)
        raise UserError(f"budget {meter.budget} does not pay for one training example (the cheapest is {cheapest:.3g} FLOPs)")
    batches: list[tuple[int, ...]] = []
    span = _WINDOW * batch_size
    for start in range(0, len(chosen), span):
        window = sorted(chosen[start : start + span], key=lambda index: len(encoded[index].ids))
        made = [tuple(window[i : i + batch_size]) for i in range(0, len(window), batch_size)]
        short = made.pop() if len(made[-1]) < batch_size else None
        shuffle.shuffle(made)
        batches.extend(made)
        if short:  # only the last window has one; it stays last, so that rows and batches keep step
            batches.append(short)
    return Plan(tuple(batches), flops, len(chosen) / len(encoded), len(chosen), whole)


def schedule(share: float, warmup: float) -> float:
    """The learning rate's factor at a share of the budget: up over `warmup`, then straight down to zero."""
    if share < warmup:
        return share / warmup
    return max(0.0, (1.0 - share) / (1.0 - warmup)) if warmup < 1 else 1.0
