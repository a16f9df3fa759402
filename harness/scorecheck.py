"""Whether a task's scoring does what scoring must: perfect answers give 1, wrong and empty ones 0, and none makes it raise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from harness.doccheck import Seen
from harness.entities import unreadable
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


def check_scores(task: Task, finder: DocFinder, seen: Seen, found: Findings) -> None:
    """Score scripted answers to the test documents the way a run would; what is told first ends it."""
    _Scoring(task, finder, seen, found).check()


class _Scoring:
    def __init__(self, task: Task, finder: DocFinder, seen: Seen, found: Findings) -> None:
        self.task, self.finder, self.found, self.docs = seen.part(task), finder, found, seen.docs["test"]
        self.numbers = seen.good["test"]
        self.chooses = task.lm_eval.OUTPUT_TYPE == "multiple_choice"
        stated = task.file is not None and "process_results" in task.file.config
        self.where = finder.key("process_results" if stated else "metric_list")

    def check(self) -> None:
        samples = [sample for sample in self.task.samples(None, limit=_SCORED) if sample.reference is not None]
        right = {sample.doc_id: self._right(sample) for sample in samples}
        wrong = {s.doc_id: (right[s.doc_id] + 1) % len(s.choices) if self.chooses else "" for s in samples}
        kind, main = self.task.meta.kind, self.task.meta.main_metric
        if kind == "instruction":  # a prompt without a reference has no perfect answer that is known
            right = {number: answer for number, answer in right.items() if answer}
        if kind == "entities":  # (a reference that no answer says was remarked)
            right = {s.doc_id: right[s.doc_id] for s in samples if not unreadable(s.doc, self.task.meta.entity_types)}
        if kind == "entities" and not any(sample.doc["entities"] for sample in samples):
            self.found.remarks.append("no test text has an entity: what a perfect answer scores cannot be tried")
            right = {}
        odd = [] if self.chooses else [dict.fromkeys(right, text) for text in _ODD]
        if any(self._raises(samples, answers) for answers in (right, wrong, *odd)):
            return
        if not self.task.lm_eval.higher_is_better().get(main, True):
            self.found.remarks.append(f"lower is better for {main}: perfect and empty answers are not tried on it")
            return
        known = [sample for sample in samples if sample.doc_id in right]
        if not self._expect(known, right, lambda value: abs(value - 1) < _CLOSE, "a perfect", "1"):
            self._expect(samples, wrong, lambda value: value < _CLOSE, "a wrong" if self.chooses else "an empty", "0")

    def _right(self, sample: Sample) -> Any:
        return sample.choices.index(str(sample.reference)) if self.chooses else sample.reference

    def _raises(self, samples: Sequence[Sample], answers: dict[int, Any]) -> bool:
        """Whether scoring any sample by itself raises; the first ones are told, with the line of the code that did it."""
        told = []
        for sample in samples:
            if sample.doc_id not in answers:
                continue
            answer = answers[sample.doc_id]
            results: list[Any] = [answer]
            if sample.choices:
                results = [(-1.0, True) if place == answer else (-9.0, False) for place in range(len(sample.requests))]
            elif len(sample.requests) > 1:
                results = [answer, (-1.0, False)]
            try:
                self.task.lm_eval.process_results(sample.doc, results)
            except Exception as error:  # noqa: BLE001 (a stranger's scoring; that is what is looked for)
                shown = f"choice {answer}" if sample.choices else f"answer {one_line(repr(answer), 40)}"
                said = f"scoring raises {type(error).__name__} ({one_line(error, 80)}) on document {self.numbers[sample.doc_id]}"
                told.append((own_line(self.task.file, error) or self.where, f"{said}, {shown}: mend it to take any answer"))
        self.found.several(told)
        return bool(told)

    def _expect(
        self, samples: list[Sample], answers: dict[int, Any], holds: Callable[[float], bool], name: str, expected: str
    ) -> bool:
        """The main metric of scripted answers, through the same steps as in a run; whether a fault was told."""
        from harness.cell import predict
        from harness.score import score

        if not samples:
            return False
        main = self.task.meta.main_metric
        lines = predict(self.task, samples, _Scripted(answers))
        try:
            metrics, _ = score(self.task, samples, lines)
        except Exception as error:  # noqa: BLE001
            said = f"scoring all samples raises {type(error).__name__}: {one_line(error, 120)}"
            self.found.fault(own_line(self.task.file, error) or self.where, f"{said}: mend the aggregation")
            return True
        value = metrics[main].value if main in metrics else None
        if value is None:
            mend = "mend the scoring, or choose another main_metric"
            self.found.fault(self.where, f"{name} prediction everywhere gives no {main}: {mend}")
            return True
        if holds(value):
            return False
        low = [line for line in lines if expected == "1" and line["scores"].get(main, 1.0) < 1 - _CLOSE]
        if low and len(low) < len(lines):  # the scoring works; some rows do not score what their own answer should
            self.found.several([self._row(line, main) for line in low])
            return True
        said = f"{name} prediction everywhere scores {main} {value:.4g} where it should score {expected}"
        self.found.fault(self.where, f"{said}: mend the scoring, or choose another main_metric")
        return True

    def _row(self, line: dict, main: str) -> tuple[str, str]:
        number, score = self.numbers[line["doc_id"]], line["scores"][main]
        said = f"document {number} of the test split: its own answer, a perfect prediction, scores {main} {score:.4g}"
        return self.finder.place("test", number, self.docs[number]), f"{said} where it should score 1: mend it"
