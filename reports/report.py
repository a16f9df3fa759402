"""The report: records in, RESULTS/report.md and RESULTS/plots out. Everything shown is derived from the records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from harness.errors import UserError
from harness.record import atomic_write
from reports import (
    compute_plot,
    contamination,
    detail_plots,
    endmatter,
    entities,
    entity_picture,
    instructions,
    judged,
    quantity,
    score_plots,
    tables,
    wording,
)
from reports.disagreements import disagreements, read_answers
from reports.findings import cautions, findings
from reports.groups import Group, make_groups
from reports.markup import bullets, file_stem, picture, safe
from reports.plots import Look, looks, save
from reports.results import Entry, Run, read_entries, read_run

_STATUSES = {
    "ok": "ok",
    "unscored": "unscored",
    "skipped": "skipped",
    "failed": "failed",
    "damaged": "damaged",
    "missing": "missing",
}


def write_report(results: Path) -> Path:
    """Write ``report.md`` and ``plots/`` in the folder of a run and return the path of ``report.md``.

    Raises `UserError` where the folder holds neither records nor a run.json, or cannot be written to.
    """
    run = read_run(results)
    entries, strays = read_entries(results, run)
    if not entries and not strays and not run.fault:
        raise UserError(
            f"{results} holds no results (no cells/*/record.json and no run.json): run a matrix first, or name another folder"
        )
    every = make_groups(entries)
    series, groups = quantity.find_series(every)
    look = looks(row.label for group in groups for row in group.rows)
    (results / "plots").mkdir(parents=True, exist_ok=True)
    stems = _stems(groups)
    parts = [_head(run, entries, strays, groups)]
    parts += [_series_section(one, number, results / "plots") for number, one in enumerate(series, start=1)]
    parts += [
        _group_section(number, group, stems[number - 1], look, results / "plots") for number, group in enumerate(groups, start=1)
    ]
    parts += judged.section(results)
    parts += contamination.section(results, every)
    parts += [
        "## Notes\n\n" + endmatter.notes(run, every),
        "## Environment\n\n" + endmatter.environment(every),
        "## Command\n\n" + endmatter.command(run, every),
        "## Words\n\n" + endmatter.words(),
    ]
    path = results / "report.md"
    atomic_write(path, "\n\n".join(part.strip() for part in parts) + "\n")
    return path


def _stems(groups: list[Group]) -> list[str]:
    """A file stem for each group, different on file systems without upper and lower case too."""
    stems: list[str] = []
    for group in groups:
        stem = file_stem(group.title)
        again = sum(known.lower().split("--")[0] == stem.lower() for known in stems)
        stems.append(f"{stem}--{again + 1}" if again else stem)
    return stems


def _head(run: Run, entries: list[Entry], strays: list[tuple[str, str]], groups: list[Group]) -> str:
    counts = Counter(entry.status for entry in entries)
    counts["damaged"] += len(strays)
    ended = ", ".join(f"{counts[status]} {word}" for status, word in _STATUSES.items() if counts[status])
    total = sum(counts.values())
    lines = [f"{wording.plural(total, 'cell')} (a cell is one method on one task with one seed): {ended}."]
    times = [f"{word} {safe(when)}" for word, when in (("Started", run.started), ("Finished", run.finished)) if when]
    lines += [f"{'. '.join(times)}."] if times else []
    parts = ["# Report", safe(run.description, 600), " ".join(lines)]
    if groups:
        parts += [
            "## At a glance",
            tables.glance(groups),
            "One line a task: the best score with its 95 % interval, beside the untuned model, the best classical method "
            "(which uses no language model) and guessing. The sections below have the same numbers; unknown words are "
            "explained at the end, under Words.",
        ]
    if strays:
        parts += [
            "## Damaged records",
            bullets([f"**{safe(name)}**, **damaged**: {safe(reason, 300)}" for name, reason in strays]),
        ]
    return "\n\n".join(part for part in parts if part)


def _series_section(series: quantity.Series, number: int, folder: Path) -> str:
    def draw(kind: str, build: Callable[[], Figure], alt: str, caption: str) -> str:
        stem = f"{file_stem(series.lead.task)}-{kind}{f'-{number}' if number > 1 else ''}"
        save(folder, stem, build)
        return picture(stem, f"{series.lead.task}: {alt}", caption)

    lost = [tables.unfinished(point.group) for point in series.points]
    parts = [f"## Quality against quantity: {safe(series.lead.task)}", *quantity.section(series, draw)]
    if any(lost):
        parts += ["Cells without a full result:", "\n".join(one for one in lost if one)]
    return "\n\n".join(parts)


def _group_section(number: int, group: Group, stem: str, look: Mapping[str, Look], folder: Path) -> str:
    def draw(kind: str, build: Callable[[], Figure], alt: str, caption: str) -> str:
        save(folder, f"{stem}-{kind}", build)
        return picture(f"{stem}-{kind}", f"{group.title}: {alt}", caption)

    parts = [f"## {number}. {safe(group.title)}", _setting(group), findings(group)]
    warnings = [caution for caution in [*cautions(group), endmatter.mixed_caution(group)] if caution]
    parts += ["*Read with care:*", bullets(warnings)] if warnings else []
    parts += ["### Results", tables.results_table(group), _results_caption(group)]
    if lost := tables.unfinished(group):
        parts += ["Cells without a full result:", lost]
    if seeds := tables.seeds_table(group):
        said = "Each seed by itself; how far a method's seeds lie apart shows how much of a score is the luck of training."
        parts += ["### Seeds", seeds, said]
    if group.ranked():
        parts += ["### Pictures of the scores"]
        parts.append(draw("scores", partial(score_plots.scores_picture, group, look), "score by method", _SCORES))
        if compute_plot.has_compute(group):
            compute = partial(compute_plot.compute_picture, group, look)
            parts.append(draw("compute", compute, "score against training compute", _COMPUTE))
        else:
            parts.append("No method spent training FLOPs here, so there is no picture of score against compute.")
    else:
        parts.append("Nothing was scored, so there are no pictures of scores.")
    parts += _details(group, look, draw)
    if adapting := tables.adapting_table(group):
        answering = tables.answering_table(group)
        parts += ["### Cost", adapting, _ADAPTING, *([answering, _ANSWERING] if answering else [])]
    parts += ["### Where the methods disagree", disagreements(group)]
    return "\n\n".join(parts)


def _details(group: Group, look: Mapping[str, Look], draw: Callable[[str, Callable[[], Figure], str, str], str]) -> list[str]:
    parts = []
    if detail_plots.has_confusion(group):
        confusion = partial(detail_plots.confusion_picture, group)
        parts += ["### Which classes are mistaken for which", draw("confusion", confusion, "confusion matrices", _CONFUSION)]
    elif classes := len(detail_plots.true_classes(group)):
        parts.append(f"There are {classes} classes, too many for a readable picture of which is mistaken for which.")
    if by_class := tables.class_table(group):
        parts += ["### F1 by class", by_class, _CLASSES]
    parts += _entities(group, draw)
    parts += _instructions(group)
    if detail_plots.has_loss(group):
        parts += ["### Training", draw("loss", partial(detail_plots.loss_picture, group, look), "loss during training", _LOSS)]
    return parts


def _entities(group: Group, draw: Callable[[str, Callable[[], Figure], str, str], str]) -> list[str]:
    types = entities.types_of(group)
    by_type = entities.type_table(group)
    if not types or not by_type:
        return []
    parts = ["### Entities by type", by_type, _TYPES]
    methods, _ = read_answers(group)
    if made := entities.mistakes_table(methods):
        parts += ["### What became of the entities", made, _MISTAKES]
        for method in methods:
            if said := entities.commonest(method, group.may_show_text):
                parts += [f"**{safe(method.label, 80)}**", bullets(said)]
    if group.may_show_text:
        reading = [method for method in methods if any(entities.marks(s) for s in method.samples.values())][:_DRAWN]
        if chosen := entities.shown_samples(reading, _SAMPLES):
            build = partial(entity_picture.entity_picture, group.title, reading, chosen, types)
            parts += ["### Entities in the text", draw("entities", build, "entities in the text", _ENTITIES)]
    return parts


def _instructions(group: Group) -> list[str]:
    if group.fact("kind") != "instruction":
        return []
    parts = []
    if changed := instructions.change_table(group):
        parts += ["### What tuning changed", changed, _CHANGED]
    methods, _ = read_answers(group)
    if kinds := instructions.kinds_table(methods):
        parts += ["### Which constraints are obeyed", kinds, _KINDS]
    return parts


def _setting(group: Group) -> str:
    test = group.fact("test_samples")
    facts = [
        f"Model {safe(group.model)}" if group.model else "",
        f"budget {safe(wording.budget_words(group.budget))} for each method" if group.budget else "",
        f"{safe(group.split)} split" if group.split != "test" else "",
        f"limited to {group.test_limit} samples"
        if group.test_limit is not None
        else f"{safe(test)} test samples"
        if test
        else "",
        f"at most {group.max_new_tokens} new tokens an answer" if group.max_new_tokens is not None else "",
    ]
    said = ", ".join(fact for fact in facts if fact)
    return said[:1].upper() + said[1:] + "." if said else ""


def _results_caption(group: Group) -> str:
    ranked = group.ranked()
    way = "higher is better" if not ranked or ranked[0][1].higher_is_better else "lower is better"
    said = (
        f"Best first; {way}. Behind each score stands the range that it would probably lie in on other samples of the same kind."
    )
    if any(len(score.seeds) > 1 for _, score in ranked):
        said += " Of several seeds the score is the mean; the interval is per seed, from the lowest to the highest end of theirs."
    if group.chance is not None:
        said += f" Chance level: {wording.score(group.chance)}, what guessing would score on average."
    return said


_SCORES = (
    "Each line is one method: the mark is its score, the bar the 95 % interval, the dashed line the chance level. Where two "
    "bars share a stretch, this run does not tell the two methods apart."
)
_COMPUTE = (
    "Up and down is the score, further right is more compute spent on training. Methods that spent none (or whose compute is "
    "not counted) stand in the zone at the left; methods that spent nearly the same are drawn side by side, so that all can be "
    "seen."
)
_CONFUSION = (
    "Each square is one method (its lowest seed). A row holds the samples of one true class, a column the answers of one "
    "kind: the framed diagonal is what was right, everything beside it is a mistake. Darker means a larger share of the row."
)
_CLASSES = "F1 of every class by itself, from 0 to 1: a low number shows the class that a method finds hard."
#: methods (the best ones) and samples in the picture of entities
_DRAWN, _SAMPLES = 4, 3
_TYPES = (
    "An entity counts as right only if its type and both its borders are right (seqeval, strict mode, IOB2 tags; a ratio "
    "with nothing below the line is 0). Precision: the share of marked entities that are right. Recall: the share of the "
    "reference's entities that were found. F1 joins the two. Intervals: bootstrap over samples."
)
_MISTAKES = (
    "The first five columns divide the reference's entities. “Other type”: the right words under another type; “other "
    "borders”: an answer of the right type that begins or ends elsewhere; “both”: an overlapping answer of another type and "
    "place. The last three count what was answered besides; each costs precision."
)
_ENTITIES = (
    "Samples on which the methods differ most, so not a random choice. The first line of each block is the reference, the "
    "others are what the methods marked (the best ones, at most four); labels are the first letters of the type."
)
_CHANGED = (
    "Each method minus the untuned model on the same samples, with paired 95 % intervals (bootstrap over samples). An interval "
    "that holds zero leaves it open whether tuning did anything. What is easy or hard for both cancels out here, so this tells "
    "more than whether two intervals above overlap. p: the exact McNemar test, where a sample is right or wrong."
)
_KINDS = (
    "The share of the constraints of each kind that the answer obeys as it stands (of several seeds, the lowest). Small numbers "
    "of constraints say little."
)
_LOSS = (
    "How the loss fell while the budget was spent, from left to right. Compare the shapes: a line that is still falling at "
    "the right end could have used more budget. Heights of methods with different objectives are not comparable."
)
_ADAPTING = (
    "What each method spent on adapting, before the test; a mean where there are several seeds. “Stored on disk” is what "
    "must be kept beside the base model. Time and memory depend on the machine, FLOPs do not. "
    "The budget is the same compute for all, not the same number of examples."
)
_ANSWERING = (
    "What answering costs afterwards, for every 1,000 samples. It is not part of the budget: a method that is cheap to train "
    "may be dear to use."
)
