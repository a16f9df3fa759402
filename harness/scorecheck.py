"""Whether a task's scoring does what scoring must: perfect answers give 1, wrong and empty ones 0, and none makes it raise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from harness.errors import one_line
from harness.faults import DocFinder, Findings, own_line
from harness.task import Sample, Task

#: test documents that are scored; answers that no scoring may fall over
_SCORED = 500
_ODD = (":;,\n{}[]", "none; none", "\u200b", "0" * 300)
_CLOSE = 1e-6


class _Scripted:
    """Answers lm-eval's requests from a script: a text for each sample, or the place of the choice that is rated best."""

    def __init__(self, answers: dict[int, Any]) -> None:
        self.answers = answers

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        picked = [self.answers.get(request.doc_id) for request in requests]
        return [(-1.0, True) if request.idx == one else (-9.0, False) for request, one in zip(requests, picked, strict=True)]

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        return [str(self.answers.get(request.doc_id, "")) for request in requests]


def check_scores(task: Task, finder: DocFinder, found: Findings) -> None:
    """Score scripted answers to the test documents the way a run would."""
    samples = [s for s in task.samples(None, limit=_SCORED) if s.reference is not None]
    if not samples:
        return
    where = finder.key("process_results") if task.file and "process_results" in task.file.config else finder.key("metric_list")
    chooses = task.lm_eval.OUTPUT_TYPE == "multiple_choice"
    right: dict[int, Any] = {s.doc_id: s.choices.index(str(s.reference)) if chooses else s.reference for s in samples}
    wrong: dict[int, Any] = {s.doc_id: (right[s.doc_id] + 1) % len(s.choices) if chooses else "" for s in samples}
    if task.meta.kind == "instruction":  # a prompt without a reference has no perfect answer that is known
        right = {number: answer for number, answer in right.items() if answer}
    if task.meta.kind == "entities" and not any(s.doc["entities"] for s in samples):
        found.remarks.append("no test text has an entity: what a perfect answer scores cannot be tried")
        right = {}
    odd: list[dict[int, Any]] = [] if chooses else [dict.fromkeys(right, text) for text in _ODD]
    for answers in (right, wrong, *odd):
        if _raises(task, [s for s in samples if s.doc_id in answers], answers, finder, where, found):
            return
    better = task.lm_eval.higher_is_better().get(task.meta.main_metric, True)
    if not better:
        found.remarks.append(f"lower is better for {task.meta.main_metric}: perfect and empty answers are not tried on it")
        return
    _expect(task, [s for s in samples if s.doc_id in right], right, lambda v: abs(v - 1) < _CLOSE, "a perfect", "1", where, found)
    name = "a wrong" if chooses else "an empty"
    _expect(task, samples, wrong, lambda v: v < _CLOSE, name, "0", where, found)


def _raises(
    task: Task, samples: Sequence[Sample], answers: dict[int, Any], finder: DocFinder, where: str, found: Findings
) -> bool:
    """Whether scoring any sample by itself raises; the first ones are told, with the line of the task's code that did it."""
    told = []
    for sample in samples:
        answer = answers[sample.doc_id]
        results: list[Any] = [answer]
        if sample.choices:
            results = [(-1.0, True) if i == answer else (-9.0, False) for i in range(len(sample.requests))]
        elif len(sample.requests) > 1:
            results = [answer, (-1.0, False)]
        try:
            task.lm_eval.process_results(sample.doc, results)
        except Exception as error:  # noqa: BLE001 (a stranger's scoring; that is what is looked for)
            shown = f"choice {answer}" if sample.choices else f"answer {one_line(repr(answer), 40)}"
            said = f"scoring raises {type(error).__name__} ({one_line(error, 80)}) on document {sample.doc_id}, {shown}"
            told.append((own_line(task.file, error) or where, said))
    found.several(told)
    return bool(told)


def _expect(
    task: Task,
    samples: Sequence[Sample],
    answers: dict[int, Any],
    holds: Callable[[float], bool],
    name: str,
    expected: str,
    where: str,
    found: Findings,
) -> None:
    """The main metric of scripted answers, through the same steps as in a run."""
    from harness.cell import predict
    from harness.score import score

    if not samples:
        return
    main = task.meta.main_metric
    try:
        metrics, _ = score(task, samples, predict(task, list(samples), _Scripted(answers)))
    except Exception as error:  # noqa: BLE001
        said = f"scoring all samples raises {type(error).__name__}: {one_line(error, 120)}"
        found.fault(own_line(task.file, error) or where, said)
        return
    value = metrics[main].value if main in metrics else None
    if value is None:
        found.fault(where, f"{name} prediction everywhere gives no {main}")
    elif not holds(value):
        said = f"{name} prediction everywhere scores {main} {value:.4g} where it should score {expected}"
        found.fault(where, f"{said}: mend the scoring, or choose another main_metric")
