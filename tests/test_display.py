"""What a run shows, without running anything."""

from __future__ import annotations

import pytest

from harness.budget import Budget
from harness.display import Board, duration
from harness.matrix import Cell


def cell(method: str) -> Cell:
    return Cell(task="toy", method=method, model="m", budget=Budget(5e12), seed=0)


@pytest.fixture
def board(monkeypatch) -> Board:
    monkeypatch.setattr("harness.display.time.monotonic", lambda: clock[0])
    clock[0] = 100.0
    board = Board(workers=1, live=False)
    for method in ("sft", "lora"):
        board.add(cell(method), "missing")
    return board


clock = [0.0]


def test_plain_lines_say_phase_loss_spend_and_result(board, capsys):
    key = cell("sft").id
    board.update({"cell": key, "phase": "training", "loss": 1.2345, "share": 0.41})
    board.update({"cell": key, "phase": "training", "loss": 1.2, "share": 0.42})  # the same fifth of the budget: no second line
    board.finish(key, "ok", "", 0.875, seconds=61.2)
    board.finish(cell("lora").id, "failed", "out of memory", None)
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "toy · sft · 5e12flops · seed 0: training, loss 1.234, 41% of 5e12flops spent"
    assert out[1] == "[1/2] toy · sft · 5e12flops · seed 0: 0.875 in 61 s"
    assert out[2] == "[2/2] toy · lora · 5e12flops · seed 0: failed: out of memory"


def test_time_left_is_unknown_until_something_is_known_then_adds_up(board):
    assert board.eta() is None
    board.estimates = {cell("sft").id: 60.0, cell("lora").id: 40.0}
    assert board.eta() == 100.0
    board.update({"cell": cell("sft").id, "phase": "training"})
    clock[0] += 20
    assert board.eta() == 80.0
    board.finish(cell("sft").id, "ok", "", 0.5)
    assert board.eta() == 40.0


def test_a_running_cell_without_an_estimate_is_judged_by_its_share(board):
    board.estimates = {cell("lora").id: 40.0}
    board.update({"cell": cell("sft").id, "phase": "training", "share": 0.0})
    clock[0] += 30
    assert board.eta() is None
    board.update({"cell": cell("sft").id, "share": 0.5})
    assert board.eta() == pytest.approx(30.0 + 40.0)


def test_the_live_table_shows_every_cell(board):
    from rich.console import Console

    board.update({"cell": cell("sft").id, "phase": "training", "loss": 0.5, "share": 0.3})
    board.finish(cell("lora").id, "skipped", "cannot [do] that", None)
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(board._render())
    text = console.export_text()
    assert "sft" in text
    assert "training" in text
    assert "0.500" in text
    assert "cannot [do] that" in text


def test_notes_are_kept_once(board, capsys):
    board.say("a note")
    board.say("a note")
    assert board.notes == ["a note"]


@pytest.mark.parametrize(("seconds", "said"), [(4, "4 s"), (89, "89 s"), (120, "2 min"), (3600 * 2, "2 h 00 min")])
def test_durations(seconds, said):
    assert duration(seconds) == said
