"""Whether test documents were seen in training: runs of words that a training set and a test set share.

A test document counts as seen where it shares a run of eight words with any training document (PaLM's unit: Chowdhery et al.
2022, section 8, arXiv:2204.02311; letters and digits only, case ignored). A document of fewer words counts where it is the same
as a whole training document. What prompts add around a document (its template) is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.constraints import words
from harness.keys import engine_code
from harness.record import atomic_write

if TYPE_CHECKING:
    from harness.resolve import Resolved
    from harness.task import Task

#: words in the runs that are looked for
RUN = 8
#: numbers of seen test documents that are kept
_SHOWN = 10
_FILE = "contamination.json"


def runs(text: str, run: int = RUN) -> set[str]:
    """The runs of `run` words in a text; of a shorter text itself, marked as whole."""
    found = words(text.lower())
    if len(found) < run:
        return {"whole " + " ".join(found)} if found else set()
    return {" ".join(found[start : start + run]) for start in range(len(found) - run + 1)}


def overlap(train: Iterable[str], test: Sequence[str], run: int = RUN) -> dict[str, Any]:
    """Which test texts share a run with a training text (`sharing`), and which are one, but for case and signs (`identical`):
    positions in `test`, in order."""
    holders: dict[str, list[int]] = {}
    same: dict[str, list[int]] = {}
    for number, text in enumerate(test):
        for one in runs(text, run):
            holders.setdefault(one, []).append(number)
        same.setdefault(" ".join(words(text.lower())), []).append(number)
    sharing: set[int] = set()
    identical: set[int] = set()
    for text in train:
        for one in runs(text, run):
            sharing.update(holders.get(one, ()))
        identical.update(same.get(" ".join(words(text.lower())), ()) if words(text.lower()) else ())
    return {"sharing": sorted(sharing | identical), "identical": sorted(identical)}


def content(task: Task, doc: Mapping[str, Any]) -> str:
    """A document's own words: the columns that its prompt shows, without what the template adds; else the prompt. (lm-eval's
    ``doc_to_decontamination_query`` is not asked: 0.4.13 evaluates a rendered one as Python.)"""
    prompt, target, choices = task.text(dict(doc)), task.config.doc_to_target, task.config.doc_to_choice
    labels = set(map(str, choices)) if isinstance(choices, list) else set()  # prompts may list them; they are no words of a text
    columns = [value.strip() for name, value in doc.items() if isinstance(value, str) and name != target]
    shown = [value for value in columns if value and value not in labels and value in prompt]
    longest = [value for value in shown if not any(value != other and value in other for other in shown)]
    return "\n".join(dict.fromkeys(longest)) or prompt


def update(cells: Sequence[Resolved], results: Path) -> None:
    """Compare every training set of a run with every of its test sets and keep what was found in ``RESULTS/contamination.json``;
    pairs that stand there already are not compared again."""
    known = read(results)
    trains = {cell.facts.train: cell for cell in cells if cell.method.trains and cell.facts.train}
    tests = {cell.facts.requests: cell for cell in cells}
    lacking = [(train, test) for train in trains for test in tests if _name(train, test) not in known]
    if not lacking:
        return
    training = {train: _texts(trains[train], "train") for train in {train for train, _ in lacking}}
    tested = {test: _texts(tests[test], "test") for test in {test for _, test in lacking}}
    for train, test in lacking:
        ids, texts = tested[test]
        found = overlap(training[train][1], texts)
        known[_name(train, test)] = {
            "train": trains[train].job.cell.variant,
            "train_documents": len(training[train][0]),
            "test": tests[test].job.cell.task,
            "split": tests[test].job.cell.split,
            "test_documents": len(texts),
            "sharing": len(found["sharing"]),
            "identical": len(found["identical"]),
            "documents": [ids[number] for number in found["sharing"][:_SHOWN]],
        }
    atomic_write(results / _FILE, json.dumps({"run": RUN, "code": engine_code("contamination"), "pairs": known}, indent=1))


def read(results: Path) -> dict[str, dict[str, Any]]:
    """What is kept of a results folder by pair (`pair_name`); empty where nothing is, or other code found it."""
    try:
        stored = json.loads((results / _FILE).read_text(encoding="utf-8"))
        return dict(stored["pairs"]) if stored["code"] == engine_code("contamination") else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _name(train: str, test: str) -> str:
    """The pair's name: the two hashes that records carry (``provenance.task.train`` and ``.requests``)."""
    return f"{train}-{test}"


def _texts(cell: Resolved, split: str) -> tuple[list[int], list[str]]:
    """Numbers and words of a cell's training documents (and the words of their answers) or of the test documents it is asked."""
    from harness.loading import load_task
    from harness.task import quiet

    job = cell.job
    folders = [Path(folder) for folder in job.folders]
    with quiet():
        task = load_task(job.cell.task, folders, Path(job.data_dir) if job.data_dir else None, job.cell.data)
        if split == "train":
            docs = task.docs("train")
            answers = [answer for doc in docs if (answer := _answer(task, doc))]
            return list(range(len(docs))), [*(content(task, doc) for doc in docs), *answers]
        chosen = task.chosen(job.cell.split, job.cell.test_limit)
        docs = task.docs(job.cell.split)
        return list(chosen), [content(task, docs[number]) for number in chosen]


def _answer(task: Task, doc: Mapping[str, Any]) -> str:
    """The text that a training document teaches to write; a choice is no text of its own."""
    if task.lm_eval.OUTPUT_TYPE != "generate_until" or task.meta.kind == "entities":
        return ""
    target = task.lm_eval.doc_to_target(doc)
    return target if isinstance(target, str) else ""
