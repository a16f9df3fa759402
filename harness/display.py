"""What a run shows: the matrix filling up where there is a terminal, plain lines where there is none."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from harness.matrix import Cell

_SIGNS = {"ok": "✓", "failed": "✗", "skipped": "–", "unscored": "?", "waiting": "·", "running": "▸"}


@dataclass
class _Row:
    cell: Cell
    state: str = "waiting"
    cached: bool = False
    phase: str = ""
    loss: float | None = None
    share: float = 0.0
    done: float = 0.0
    value: float | None = None
    reason: str = ""
    began: float = 0.0
    seconds: float | None = None


@dataclass
class Board:
    """The state of a run. Methods may be called from several threads."""

    workers: int = 1
    description: str = ""
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    live: bool | None = None
    estimates: dict[str, float | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    rows: dict[str, _Row] = field(default_factory=dict)
    _lock: Any = field(default_factory=threading.RLock)
    _live: Any = None
    _last_plain: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Board:
        if self.live is None:
            self.live = sys.stdout.isatty()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, line: str) -> None:
        """A note: kept for the report, printed now."""
        with self._lock:
            if line not in self.notes:
                self.notes.append(line)
        self._print(f"note: {line}")

    def add(self, cell: Cell, state: str) -> None:
        with self._lock:
            self.rows[cell.id] = _Row(cell)

    def update(self, message: dict) -> None:
        """A message from a running cell: cell (its id), phase, loss, share, done."""
        with self._lock:
            row = self.rows[message["cell"]]
            if row.state == "waiting":
                row.state, row.began = "running", time.monotonic()
            phase = message.get("phase", row.phase)
            if phase != row.phase:
                row.done = 0.0
            row.phase = phase
            row.loss = message.get("loss", row.loss)
            row.share = message.get("share", row.share)
            row.done = message.get("done", row.done)
        if not self.live:
            self._plain_progress(row)

    def _plain_progress(self, row: _Row) -> None:
        """A line a phase, and one every fifth of the budget."""
        mark = f"{row.phase} {int(row.share * 5) if row.phase == 'training' else ''}"
        if self._last_plain.get(row.cell.id) != mark:
            self._last_plain[row.cell.id] = mark
            told = (
                f", loss {row.loss:.3f}, {row.share:.0%} of {row.cell.budget} spent"
                if row.phase == "training" and row.loss
                else ""
            )
            self._print(f"{row.cell}: {row.phase}{told}")

    def finish(
        self, key: str, status: str, reason: str, value: float | None, *, cached: bool = False, seconds: float | None = None
    ) -> None:
        with self._lock:
            row = self.rows[key]
            row.state, row.reason, row.value, row.cached, row.seconds = status, reason, value, cached, seconds
            count = sum(r.state in ("ok", "failed", "skipped", "unscored") for r in self.rows.values())
        if not cached and not self.live:
            self._print(f"[{count}/{len(self.rows)}] {row.cell}: {self._outcome(row)}")

    def _outcome(self, row: _Row) -> str:
        if row.state == "ok":
            took = f" in {row.seconds:.0f} s" if row.seconds is not None else ""
            return f"{row.value:.3f}{took}" if row.value is not None else f"ok{took}"
        return f"{row.state}: {row.reason}"

    def eta(self) -> float | None:
        """Seconds left for all, None while too little is known."""
        left = 0.0
        with self._lock:
            for key, row in self.rows.items():
                if row.state == "waiting":
                    estimate = self.estimates.get(key)
                    if estimate is None:
                        return None
                    left += estimate
                elif row.state == "running":
                    estimate = self.estimates.get(key)
                    spent = time.monotonic() - row.began
                    if estimate is None:
                        if row.share < 0.1:
                            return None
                        estimate = spent / row.share
                    left += max(0.0, estimate - spent)
        return left / max(1, self.workers)

    def tick(self) -> None:
        """Redraw; called several times a second."""
        if not self.live:
            return
        if self._live is None:
            from rich.live import Live

            self._live = Live(self._render(), refresh_per_second=8)
            self._live.start()
        self._live.update(self._render())

    def _render(self) -> Any:
        from rich.markup import escape
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        table = Table(box=None, pad_edge=False)
        for title in ("", "task", "method", "seed", "state", "", "spent", "loss", "result"):
            table.add_column(title, justify="right" if title in ("seed", "loss", "result") else "left", no_wrap=title != "state")
        colours = {"ok": "green", "failed": "red", "skipped": "yellow", "unscored": "yellow", "running": "cyan"}
        with self._lock:
            for row in self.rows.values():
                share = row.share if row.phase == "training" or row.state != "running" else (row.done or row.share)
                state = row.phase if row.state == "running" else "cached" if row.cached else row.state
                table.add_row(
                    f"[{colours.get(row.state, 'dim')}]{_SIGNS[row.state]}",
                    escape(row.cell.variant),
                    escape(row.cell.label or row.cell.method),
                    str(row.cell.seed),
                    escape(f"{state}: {row.reason}" if row.reason else state),
                    ProgressBar(total=1.0, completed=share, width=12) if row.state == "running" else "",
                    f"{row.share:.0%} of {row.cell.budget}" if row.state == "running" and row.share else "",
                    f"{row.loss:.3f}" if row.loss is not None and row.state == "running" else "",
                    f"{row.value:.3f}" if row.value is not None else "",
                )
        eta = self.eta()
        running = any(row.state in ("running", "waiting") for row in self.rows.values())
        table.caption = "" if not running else "time left: not known yet" if eta is None else f"about {duration(eta)} left"
        return table

    def _print(self, line: str) -> None:
        if self._live is not None:
            self._live.console.print(line, markup=False, highlight=False)
        else:
            print(line, flush=True)


def duration(seconds: float) -> str:
    """``45 s``, ``3 min``, ``2 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
