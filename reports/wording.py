"""How numbers are said: scores, intervals, FLOPs, time, bytes. Every result is plain text without markup."""

from __future__ import annotations

import re

NONE = "–"
_METRICS = {
    "acc": "accuracy",
    "accuracy": "accuracy",
    "acc_norm": "accuracy (length-normalised)",
    "exact_match": "exact match",
    "f1": "F1",
    "f1_macro": "macro-F1",
    "macro_f1": "macro-F1",
    "micro_f1": "micro-F1",
    "entity_f1": "entity F1",
    "entity_precision": "precision",
    "entity_recall": "recall",
    "invalid_rate": "unreadable answers",
    "hallucination_rate": "mentions not in the text",
    "mcc": "MCC",
    "prompt_level_strict_acc": "prompts obeyed",
    "prompt_level_loose_acc": "prompts obeyed, loosely",
    "inst_level_strict_acc": "constraints obeyed",
    "inst_level_loose_acc": "constraints obeyed, loosely",
    "reference_likelihood": "likelihood of the reference",
    "reference_bits_per_byte": "bits a byte of the reference",
    "answer_words": "words an answer",
    "repetition": "repetition",
}
_UNITS = {"flops": "FLOPs", "tok": "tokens", "s": "seconds", "usd": "US dollars"}
_BUDGET = re.compile(r"^(?P<number>[0-9.]+(?:e[+-]?[0-9]+)?)(?P<unit>[a-z]+)$")
_BY_CLASS = ("f1_", "precision_", "recall_")
_AVERAGES = {"macro", "micro", "weighted", "samples"}


def class_of(metric: str) -> str | None:
    """The class (or entity type) whose F1, precision or recall a metric named ``f1_<class>`` and so on is; None for any other
    metric."""
    for prefix in _BY_CLASS:
        name = metric.removeprefix(prefix)
        if name not in (metric, "") and name not in _AVERAGES:
            return name
    return None


def metric_name(name: str) -> str:
    """A metric as a reader knows it: ``macro_f1`` is macro-F1; one that is not known keeps its name."""
    return _METRICS.get(name, name) or "score"


def score(value: float | None) -> str:
    """Three decimals; a dash where there is no value."""
    if value is None:
        return NONE
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.1f}"


def interval(low: float | None, high: float | None) -> str:
    """``0.815 to 0.899``; a dash where an end is unknown."""
    return NONE if low is None or high is None else f"{score(low)} to {score(high)}"


def with_interval(value: float | None, low: float | None, high: float | None) -> str:
    """``0.861 (0.815 to 0.899)``."""
    return score(value) if low is None or high is None else f"{score(value)} ({interval(low, high)})"


def flops(value: float) -> str:
    """``4.99e12``: 4.99 followed by as many places as the number behind the e says."""
    return "0" if value == 0 else f"{value:.2e}".replace("e+", "e").replace("e0", "e")


def count(value: float) -> str:
    """Whole numbers with a comma every three digits."""
    return f"{value:,.0f}"


def seconds(value: float) -> str:
    """``0.42 s``, ``48 s``, ``2 min 5 s``, ``1 h 3 min``."""
    if 0 < value < 0.01:
        return "under 0.01 s"
    if value < 9.95:
        return f"{value:.2g} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(value: float) -> str:
    """Bytes in powers of 1,000: ``538 MB``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 999.5 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if value >= 99.5 or unit == "bytes" else f"{value:.2g} {unit}"


def usd(value: float) -> str:
    """US dollars to the cent, more exactly below ten cents."""
    return f"{value:.2f}" if value >= 0.1 or value == 0 else f"{value:.2g}"


def share(part: float, whole: float) -> str:
    """``57 %``; a dash of nothing."""
    return NONE if whole == 0 else f"{100 * part / whole:.0f} %"


def budget_parts(budget: str) -> tuple[float, str] | None:
    """(amount, unit) of ``5e12flops``; None where it is written in another way."""
    found = _BUDGET.match(budget)
    if not found or found["unit"] not in _UNITS:
        return None
    try:
        return float(found["number"]), found["unit"]
    except ValueError:
        return None


def budget_words(budget: str) -> str:
    """``5e12 FLOPs`` for ``5e12flops``."""
    parts = budget_parts(budget)
    return budget if parts is None else f"{parts[0]:.6g} {_UNITS[parts[1]]}".replace("e+", "e")


def left_over(unspent: float, budget: str) -> str:
    """What a method left of its budget, in the budget's own unit, with the share."""
    parts = budget_parts(budget)
    if parts is None:
        return f"{unspent:.3g}"
    amount, unit = parts
    said = {"flops": flops, "tok": count, "s": seconds, "usd": usd}[unit](unspent)
    if not amount:
        return said
    percent = 100 * unspent / amount
    if percent > 99.95:
        return "all of it"
    return f"{said} ({'under 0.1' if 0 < percent < 0.05 else f'{percent:.1f}'} %)"


def plural(number: int, one: str, many: str = "") -> str:
    """``1 sample``, ``300 samples``."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"
