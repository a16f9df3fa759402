"""Budgets: how much *adapting* a model may spend, and the meter that counts it. Evaluation is not charged."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field

from harness.errors import UserError, one_line, unknown

#: unit -> (the spend it limits, how to say it)
UNITS = {
    "flops": "floating-point operations",
    "tok": "training and generated tokens",
    "s": "seconds of wall time",
    "usd": "US dollars",
}
_ALIASES = {"flop": "flops", "token": "tok", "tokens": "tok", "sec": "s", "seconds": "s", "dollars": "usd"}
_SCALES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "p": 1e15}
_PATTERN = re.compile(r"^\s*(?P<number>[0-9]+(?:\.[0-9]*)?(?:e[+-]?[0-9]+)?)\s*(?P<unit>[a-z]+)\s*$")


@dataclass(frozen=True, order=True)
class Budget:
    """`amount` of one `unit` (a key of `UNITS`)."""

    amount: float
    unit: str = "flops"

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read ``1e13flops``, ``50ktok``, ``120s`` or ``5usd`` (scales k, m, g, t, p before flops and tok)."""
        match = _PATTERN.match(str(text).lower())
        if not match:
            raise UserError(f"budget '{one_line(text, 40)}' is not a number with a unit: write 1e13flops, 50ktok, 120s or 5usd")
        number, word = float(match["number"]), match["unit"]
        for scale in sorted(_SCALES, key=len, reverse=True):
            unit = word.removeprefix(scale)
            unit = _ALIASES.get(unit, unit)
            scaled = unit in ("flops", "tok")  # a millisecond is no megasecond: clocks and money take no prefix
            if unit in UNITS and word.startswith(scale) and (scaled or not scale):
                amount = number * _SCALES[scale]
                if not 0 < amount < float("inf"):
                    raise UserError(f"budget '{text}' must be above zero and finite: write, for instance, 5e12flops")
                return cls(amount, unit)
        raise unknown("budget unit", word, [*UNITS, *_ALIASES], mend=f"(in budget '{text}')")

    def __str__(self) -> str:
        short = f"{self.amount:.6g}"
        exact = short if float(short) == self.amount else f"{self.amount:.17g}"
        return re.sub(r"e\+0*", "e", exact) + self.unit


class BudgetExceeded(RuntimeError):
    """A charge that would pass the budget. Methods ask `Meter.affords` first, so this is a defect, never bad input."""


@dataclass
class Meter:
    """Counts what one cell spends on adapting, in every unit at once; one unit is limited by the budget.

    Seconds run from `start` to `stop`; the rest is charged explicitly. `usd_per_hour` prices local seconds.
    """

    budget: Budget | None
    usd_per_hour: float = 0.0
    flops: float = 0.0
    train_tokens: int = 0
    supervised_tokens: int = 0
    generated_tokens: int = 0
    examples: int = 0
    """training examples used, repeats counted"""
    usd_charged: float = 0.0
    curve: list[dict] = field(default_factory=list)
    _started: float | None = None
    _seconds: float = 0.0

    def start(self) -> None:
        self._started = time.perf_counter()

    def stop(self) -> None:
        if self._started is not None:
            self._seconds += time.perf_counter() - self._started
            self._started = None

    @property
    def seconds(self) -> float:
        running = time.perf_counter() - self._started if self._started is not None else 0.0
        return self._seconds + running

    @property
    def usd(self) -> float:
        return self.usd_charged + self.seconds * self.usd_per_hour / 3600

    def spent(self) -> float:
        """What has been spent, in the budget's own unit."""
        if self.budget is None:
            return 0.0
        tokens = float(self.train_tokens + self.generated_tokens)
        return {"flops": self.flops, "tok": tokens, "s": self.seconds, "usd": self.usd}[self.budget.unit]

    def price(self, *, flops: float = 0.0, tokens: int = 0, seconds: float = 0.0) -> float:
        """What an act costs in the budget's own unit."""
        if self.budget is None:
            return 0.0
        usd = seconds * self.usd_per_hour / 3600
        return {"flops": flops, "tok": float(tokens), "s": seconds, "usd": usd}[self.budget.unit]

    def affords(self, *, flops: float = 0.0, tokens: int = 0, seconds: float = 0.0) -> bool:
        """Whether an act that costs this much still fits."""
        if self.budget is None:
            return True
        return self.spent() + self.price(flops=flops, tokens=tokens, seconds=seconds) <= self.budget.amount * (1 + 1e-12)

    def share(self) -> float:
        """The share of the budget that is spent, 0 to 1 (0 without a budget)."""
        return min(1.0, self.spent() / self.budget.amount) if self.budget else 0.0

    def charge(self, *, flops: float = 0.0, tokens: int = 0, supervised: int = 0, generated: int = 0, examples: int = 0) -> None:
        """Count an act of adapting. Raises `BudgetExceeded` when tokens or FLOPs pass the budget."""
        self.flops += flops
        self.train_tokens += tokens
        self.supervised_tokens += supervised
        self.generated_tokens += generated
        self.examples += examples
        if self.budget and self.budget.unit in ("flops", "tok") and not self.affords():
            raise BudgetExceeded(f"spent {self.spent():.6g} of {self.budget}")
