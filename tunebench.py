"""tunebench: fine-tune one small language model in many ways under one budget, and say which way won.

The few names here are what tasks, methods and notebooks outside may import; the rest is the engine's own business.
They are imported when first used, so that ``tunebench --help`` costs nothing.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from harness.budget import Budget, Meter
    from harness.choosing import ChoiceLM, fixed_choices
    from harness.classification import classification_results, macro_f1_of_pairs, mcc_of_pairs
    from harness.constraints import CONSTRAINT_ARGUMENTS, constraint_fault, follows, loose, strict
    from harness.entities import Entity, answer_line, read_answer
    from harness.entity_scores import entity_f1, entity_precision, entity_recall, entity_results, hallucination_rate
    from harness.errors import UserError
    from harness.hub import load_hub_dataset
    from harness.instruction_scores import inst_level_acc, instruction_results
    from harness.loading import load_task
    from harness.matrix import Cell, Matrix, read_matrix
    from harness.method import CannotDo, Fitted, Method, Settings, Work
    from harness.record import Record, read_results, read_samples
    from harness.rows import read_splits
    from harness.tagged import distinct, text_from_tags
    from harness.task import Example, Sample, Task

_NAMES = {
    "harness.budget": ("Budget", "Meter"),
    "harness.choosing": ("ChoiceLM", "fixed_choices"),
    "harness.classification": ("classification_results", "macro_f1_of_pairs", "mcc_of_pairs"),
    "harness.constraints": ("CONSTRAINT_ARGUMENTS", "constraint_fault", "follows", "loose", "strict"),
    "harness.entities": ("Entity", "answer_line", "read_answer"),
    "harness.entity_scores": ("entity_f1", "entity_precision", "entity_recall", "entity_results", "hallucination_rate"),
    "harness.errors": ("UserError",),
    "harness.hub": ("load_hub_dataset",),
    "harness.instruction_scores": ("inst_level_acc", "instruction_results"),
    "harness.matrix": ("Cell", "Matrix", "read_matrix"),
    "harness.method": ("CannotDo", "Fitted", "Method", "Settings", "Work"),
    "harness.record": ("Record", "read_results", "read_samples"),
    "harness.rows": ("read_splits",),
    "harness.loading": ("load_task",),
    "harness.tagged": ("distinct", "text_from_tags"),
    "harness.task": ("Example", "Sample", "Task"),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "CONSTRAINT_ARGUMENTS",
    "Budget",
    "CannotDo",
    "Cell",
    "ChoiceLM",
    "Entity",
    "Example",
    "Fitted",
    "Matrix",
    "Meter",
    "Method",
    "Record",
    "Sample",
    "Settings",
    "Task",
    "UserError",
    "Work",
    "answer_line",
    "classification_results",
    "constraint_fault",
    "distinct",
    "entity_f1",
    "entity_precision",
    "entity_recall",
    "entity_results",
    "fixed_choices",
    "follows",
    "hallucination_rate",
    "inst_level_acc",
    "instruction_results",
    "load_hub_dataset",
    "load_task",
    "loose",
    "macro_f1_of_pairs",
    "main",
    "mcc_of_pairs",
    "read_answer",
    "read_matrix",
    "read_results",
    "read_samples",
    "read_splits",
    "strict",
    "text_from_tags",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tunebench' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME[name]), name)


def main(argv: list[str] | None = None) -> int:
    """The command line. Returns the exit status."""
    from harness.cli import INTERRUPTED, run_command

    status = run_command(sys.argv[1:] if argv is None else argv, _write_report)
    if status == INTERRUPTED:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # all that matters is on disk; what libraries do on leaving takes seconds
    return status


def _write_report(results: Path, always: bool) -> Path:
    """The engine knows no report; the front door joins the two. One that is current is written again only if `always`."""
    from reports import freshness

    if not always and freshness.is_current(results):
        return results / "report.md"
    from reports.report import write_report

    path = write_report(results)
    freshness.mark(results)
    return path


if __name__ == "__main__":
    raise SystemExit(main())
