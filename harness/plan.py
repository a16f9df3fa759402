"""``tunebench plan``: what would run, what is cached, how long and how large. Loads no model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.display import duration
from harness.hardware import Compute, memory_bytes
from harness.matrix import Matrix
from harness.rates import estimate_cell, estimate_memory, load_rates, probe
from harness.resolve import Resolved
from harness.runner import CACHED, RESCORE, cell_state


def print_cells(matrix: Matrix, absent: Sequence[str]) -> None:
    """The cells of a matrix whose model is not in the cache yet: without its tokenizer no prompt is rendered and no time told."""
    for cell in matrix.cells:
        print(cell)
    for name in absent:
        print(f"note: model {name} is not in the cache yet; the first run puts it there, then plan knows time and memory")
    print(f"{len(matrix.cells)} cells")


def print_plan(cells: Sequence[Resolved], compute: Compute, results: Path) -> None:
    """One line a cell, then the sum. The first time on a machine a probe of ten seconds measures its speed."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    rates = load_rates(compute)
    states = [cell_state(cell, mend=False) for cell in cells]
    if cells and not any(name.startswith("probe") for name in rates):
        print("measuring this machine's speed for ten seconds, once ...", flush=True)
        rates = probe(compute)
    table = Table(box=None, pad_edge=False)
    for title in ("cell", "budget", "state", "time", "memory"):
        table.add_column(title, justify="right" if title in ("time", "memory") else "left")
    total = 0.0
    largest = 0
    for cell, (state, note) in zip(cells, states, strict=True):
        seconds = 0.0 if state == CACHED else 1.0 if state == RESCORE else estimate_cell(cell, rates) or 0.0
        memory = 0 if state in (CACHED, RESCORE) else estimate_memory(cell)
        total += seconds
        largest = max(largest, memory)
        name = f"{cell.job.cell.variant} · {cell.job.cell.label or cell.job.cell.method} · seed {cell.job.cell.seed}"
        table.add_row(
            escape(name),
            str(cell.job.cell.budget) if cell.method.trains else "none",
            escape(f"{state} ({note})" if note else state),
            duration(seconds) if seconds else "",
            f"{memory / 2**30:.1f} GB" if memory else "",
        )
    Console(soft_wrap=True).print(table)
    for note in dict.fromkeys(note for cell in cells for note in cell.facts.notes):
        print(f"note: {note}")
    cached = sum(state == CACHED for state, _ in states)
    workers = f"{compute.workers} at once, {compute.threads} threads each, {compute.precision} on {compute.device}"
    print(f"{len(cells)} cells, {cached} cached in {results}; about {duration(total / compute.workers)} for the rest ({workers})")
    if largest * compute.workers > memory_bytes():
        need = largest * compute.workers / 2**30
        there = memory_bytes() / 2**30
        print(f"warning: may need {need:.0f} GB of memory, {there:.0f} GB are there: use --workers 1 or a smaller model")
