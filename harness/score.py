"""Scores from stored predictions: no model. lm-eval's own scoring of each sample first, then aggregates with intervals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from harness import classification as cl
from harness import entity_scores, instruction_scores
from harness.entities import entities_of, read_answer
from harness.intervals import from_items, from_labels, proportion
from harness.keys import digest
from harness.record import Metric, finite
from harness.task import Sample, Task


def stored_sample(sample: Sample, responses: Sequence[Any], filtered: Any) -> dict:
    """A line of ``samples.jsonl`` before scoring: what was asked and what was answered."""
    line: dict[str, Any] = {
        "doc_id": sample.doc_id,
        "prompt": sample.prompt,
        "text": sample.text,
        "reference": sample.reference,
    }
    if sample.choices:
        logprobs = [float(logprob) for logprob, _ in responses]
        line["prediction"] = sample.choices[int(np.argmax(logprobs[: len(sample.choices)]))]
        line["choices"] = list(sample.choices)
        line["loglikelihoods"] = logprobs
        line["greedy"] = [bool(greedy) for _, greedy in responses]
    else:
        line["prediction"] = filtered if isinstance(filtered, str) else str(filtered)
        line["raw"] = responses[0]
        if len(responses) > 1:  # beside the answer: how likely the reference was
            line["reference_loglikelihood"], line["reference_greedy"] = float(responses[1][0]), bool(responses[1][1])
    line["scores"] = {}
    return line


def withhold(task: Task, lines: list[dict]) -> list[dict]:
    """Take the text out of lines of a task whose text may not be passed on; hashes stand in its place. (The labels of a
    classification task are no text of it.)"""
    if task.meta.redistribute:
        return lines
    for line in lines:
        if line.get("text") is not None:
            line["text_sha256"] = digest(line["text"])
        line["prompt"] = line["text"] = None
        if "entities" in line:
            line["entities"]["text"] = None
        if not task.choices:
            hashed = ("reference", "prediction") if line.pop("choices", None) else ("reference",)
            for name in hashed:
                if line[name] is not None and not str(line[name]).startswith("sha256:"):
                    line[name] = f"sha256:{digest(line[name])}"
    return lines


def _entities(task: Task, sample: Sample, prediction: str) -> dict[str, Any]:
    """The text, where the reference's and the answer's entities stand in it ([start, end, type]), and what does not."""
    answer = read_answer(sample.doc["text"], prediction, task.meta.entity_types)
    scored = task.meta.scored_types or task.meta.entity_types
    gold = [] if sample.reference is None else entities_of(sample.doc)
    return {
        "text": sample.doc["text"],
        "reference": [[one.start, one.end, one.type] for one in gold if one.type in scored],
        "predicted": [[one.start, one.end, one.type] for one in answer.entities if one.type in scored],
        "outside": [list(pair) for pair in answer.outside if pair[0] in scored],
        "valid": answer.valid,
    }


def _results(line: dict) -> list:
    """What lm-eval's ``process_results`` is given, from a stored line."""
    if "loglikelihoods" in line:
        return list(zip(line["loglikelihoods"], line["greedy"], strict=True))
    if "reference_loglikelihood" in line:
        return [line["prediction"], (line["reference_loglikelihood"], line["reference_greedy"])]
    return [line["prediction"]]


def score(task: Task, samples: Sequence[Sample], lines: Sequence[dict]) -> tuple[dict[str, Metric], dict[str, dict[str, int]]]:
    """Metrics and confusion matrix of stored lines, whose `scores` are filled in. Samples without a reference are left
    unscored; no metric at all means that no label was known."""
    collected: dict[str, list] = defaultdict(list)
    for sample, line in zip(samples, lines, strict=True):
        line["scores"], line["reference"] = {}, sample.reference  # when scored again, references may be other ones
        if task.meta.kind == "entities":
            line["entities"] = _entities(task, sample, line["prediction"])
        if sample.reference is None:
            continue
        results = task.lm_eval.process_results(sample.doc, _results(line))
        for name, value in results.items():
            collected[name].append(value)
            if isinstance(value, (bool, int, float, np.integer, np.floating)):
                line["scores"][name] = finite(float(value))
        if task.meta.kind == "instruction":
            line["constraints"] = instruction_scores.checked(sample.doc, line["prediction"])
            line["scores"].update(instruction_scores.sample_scores(line, results))
    if not collected:
        return {}, {}
    known = [line for line in lines if line["reference"] is not None]
    exact = _exact_scores(task, known, collected)
    better = task.lm_eval.higher_is_better()
    metrics: dict[str, Metric] = {}
    for name, items in collected.items():
        aggregate = task.lm_eval.aggregation().get(name)
        metric = exact[name]() if name in exact else None
        if aggregate is not None or metric is None:
            aggregate = aggregate or np.mean  # as lm-eval does where a task names no aggregation
            value = float(aggregate(items))
            if metric is None or metric.value is None or not abs(metric.value - value) <= 1e-9:
                metric = from_items(items, aggregate, value)  # the task means something of its own by this name
        metrics[name] = metric.model_copy(update={"higher_is_better": bool(better.get(name, True))})
    for name, compute in exact.items():
        if name.startswith(("f1_", "precision_", "recall_", "reference_")):
            metrics[name] = compute()
    return metrics, confusion(known, task.choices) if task.choices else {}


def _exact_scores(task: Task, known: Sequence[dict], collected: Mapping[str, list]) -> dict[str, Callable[[], Metric]]:
    """The scores that counts determine, by name: those of classes, of entity types, or of constraints."""
    if task.meta.kind == "entities":
        return entity_scores.exact_scores(collected, task.meta.scored_types or task.meta.entity_types)
    if task.meta.kind == "instruction":
        return instruction_scores.exact_scores(known, collected)
    if not task.choices:
        return {}
    gold = cl.numbers([line["reference"] for line in known], task.choices)
    predicted = cl.numbers([line["prediction"] for line in known], task.choices)
    return _class_scores(task.choices, gold, predicted)


def _class_scores(choices: Sequence[str], gold: np.ndarray, predicted: np.ndarray) -> dict[str, Callable[[], Metric]]:
    """The scores that a confusion matrix determines, by name; `gold` and `predicted` are class numbers."""
    count = len(choices)

    def of(score: Callable) -> Callable[[], Metric]:
        return lambda: from_labels(gold, predicted, count, score)

    found: dict[str, Callable[[], Metric]] = {
        "acc": lambda: proportion([float(x) for x in gold == predicted]),
        "macro_f1": of(lambda g, p, axis=-1: cl.macro_f1(g, p, count, axis)),
        "mcc": of(lambda g, p, axis=-1: cl.matthews(g, p, count, axis)),
    }
    for number, choice in enumerate(choices):
        found[f"f1_{choice}"] = of(lambda g, p, axis=-1, number=number: cl.class_f1(g, p, number, axis))
    return found


def confusion(lines: Sequence[dict], choices: Sequence[str]) -> dict[str, dict[str, int]]:
    """reference -> prediction -> number of samples, choices in the task's order."""
    table = {true: dict.fromkeys(choices, 0) for true in choices}
    for line in lines:
        row = table.setdefault(line["reference"], {})
        row[line["prediction"]] = row.get(line["prediction"], 0) + 1
    return table
