"""Sentences made from numbers, for a reader who has never fine-tuned anything. All return markdown."""

from __future__ import annotations

from reports import wording
from reports.groups import Group, Row, Score
from reports.markup import listing, safe

_UNTELLABLE = "this run does not tell them apart"


def _name(row: Row) -> str:
    return f"**{safe(row.label, 80)}**"


def _said(score: Score) -> str:
    """``0.861 (95 % interval 0.815 to 0.899)``, or the mean with the reach of its seeds' intervals."""
    if len(score.seeds) > 1:
        reach = f"; the seeds' 95 % intervals reach from {wording.score(score.low)} to {wording.score(score.high)}"
        return f"{wording.score(score.value)} (mean of {len(score.seeds)} seeds{reach if score.low is not None else ''})"
    if score.low is None or score.high is None:
        return f"{wording.score(score.value)} (no interval is recorded)"
    return f"{wording.score(score.value)} (95 % interval {wording.interval(score.low, score.high)})"


def _against(best: Score, other: Score) -> str:
    """How far `other` is behind `best`, and whether that means anything."""
    gap = abs(best.value - other.value)
    way = "lower" if best.higher_is_better else "higher"
    far = f"{wording.score(gap)} {way}" if wording.score(gap) != wording.score(0.0) else "the same to three decimals"
    overlap = best.overlaps(other)
    if overlap is None:
        return f"{far}; without intervals it cannot be said whether that is more than luck"
    if overlap:
        return f"{far}, but their intervals overlap, so {_UNTELLABLE}"
    return f"{far}, more than the luck of the test samples explains (their intervals do not overlap)"


def _lead(group: Group, ranked: list[tuple[Row, Score]]) -> str:
    (row, score), metric = ranked[0], safe(wording.metric_name(group.main_metric))
    equal = [other for other, theirs in ranked if theirs.value == score.value]
    samples = f"on {wording.plural(score.n, 'test sample')}"
    if len(ranked) == 1:
        return f"Only {_name(row)} has a score: {metric} {_said(score)}, {samples}, so there is nothing to compare it with."
    if len(equal) > 1:
        names = listing([_name(other) for other in equal])
        return f"{names} share the best {metric}: {_said(score)}, {samples}."
    return f"{_name(row)} scored best: {metric} {_said(score)}, {samples}."


def _without_model(ranked: list[tuple[Row, Score]]) -> str:
    """What it means that the best method is no fine-tuned language model; empty where it is one."""
    best, score = ranked[0]
    tuned = next(((row, theirs) for row, theirs in ranked if row.family == "trained"), None)
    said = {
        "classical": "It uses no language model at all: it is a classical baseline.",
        "trivial": "It uses no language model and reads no text: it is the baseline that any method should pass.",
        "zero_shot": "It is the untuned model: nothing that was spent on tuning it raised this score.",
        "untuned": "It trains nothing: it only asks the model in another way.",
    }.get(best.family, "")
    if said and tuned:
        said += f" The best fine-tuned language model is {_name(tuned[0])} with {_said(tuned[1])}: {_against(score, tuned[1])}."
    return said


def _comparisons(ranked: list[tuple[Row, Score]]) -> list[str]:
    best, score = ranked[0]
    sentences = []
    for families, who in (
        (("zero_shot",), "The untuned model, asked with the same prompt ({}),"),
        (("classical", "trivial"), "The best method without a language model ({})"),
    ):
        found = next(((row, theirs) for row, theirs in ranked if row.family in families), None)
        if found and found[0] is not best and best.family not in families:
            sentences.append(f"{who.format(_name(found[0]))} scored {_said(found[1])}: {_against(score, found[1])}.")
    return sentences


def _rivals(ranked: list[tuple[Row, Score]]) -> str:
    """Which other trained methods the best one cannot be told apart from."""
    best, score = ranked[0]
    if best.family != "trained":
        return ""
    others = [(row, theirs) for row, theirs in ranked[1:] if row.family == "trained" and theirs.value != score.value]
    close = [_name(row) for row, theirs in others if score.overlaps(theirs)]
    if close:
        verb = "overlaps" if len(close) == 1 else "overlap"
        subject = f"The interval of {listing(close)}" if len(close) == 1 else f"The intervals of {listing(close)}"
        return f"{subject} {verb} with the one of {_name(best)}: {_UNTELLABLE}."
    if others and all(score.overlaps(theirs) is False for _, theirs in others):
        return "Its interval overlaps with that of no other fine-tuned model here."
    return ""


def _beyond_chance(group: Group, score: Score) -> str:
    chance = group.chance
    if chance is None or score.low is None or score.high is None or not score.higher_is_better or score.low > chance:
        return ""
    if score.high < chance:
        return f"That interval lies below the chance level ({wording.score(chance)}): it is worse than guessing."
    return f"That interval reaches down to the chance level ({wording.score(chance)}): it is not shown to beat guessing."


def findings(group: Group) -> str:
    """The paragraph under a group's heading: who is best, against what, and whether this run can tell."""
    ranked = group.ranked()
    if not ranked:
        return "No method gave a score here; the table below says why."
    if len(ranked) == 1:
        return _lead(group, ranked)
    parts = [
        _lead(group, ranked),
        _without_model(ranked),
        *_comparisons(ranked),
        _rivals(ranked),
        _beyond_chance(group, ranked[0][1]),
    ]
    return " ".join(part for part in parts if part)


def cautions(group: Group) -> list[str]:
    """What limits these findings: seeds, unequal samples, methods without a score."""
    ranked = group.ranked()
    if not ranked:
        return []
    found = []
    seeds = sorted({record.cell.seed for row, _ in ranked for record in row.records})
    tuned = [(row, score) for row, score in ranked if row.family == "trained"]
    if tuned and all(len(score.seeds) == 1 for _, score in ranked):
        which = f"one seed ({seeds[0]})" if len(seeds) == 1 else "one seed for each method"
        found.append(
            f"There is {which}: this compares these trained models, not the methods in general. Another seed shuffles the "
            "training examples differently and may change the order."
        )
    elif tuned:
        single = [_name(row) for row, score in tuned if len(score.seeds) == 1]
        found.append(
            "Where a method has several seeds, the score is their mean, and the interval shown is per seed: it runs from "
            "the lowest to the highest end of the seeds' own 95 % intervals. It is not an interval for the mean."
        )
        if single:
            found.append(f"Only one seed of {listing(single)} has a score: that says little about the method in general.")
    if tuned and not any(row.family == "zero_shot" for row, _ in ranked):
        found.append("There is no score of the untuned model (zero-shot), so what tuning brought cannot be said.")
    sizes = sorted({score.n for _, score in ranked})
    if len(sizes) > 1:
        found.append(
            f"Not all methods were scored on the same number of samples ({listing([str(n) for n in sizes])}): compare with care."
        )
    lost = [_name(row) for row in group.unranked()]
    if lost:
        found.append(f"No score from {listing(lost)}, so the comparison leaves {'it' if len(lost) == 1 else 'them'} out.")
    return found
