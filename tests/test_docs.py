"""The commands and files on the documentation's pages, run as they stand (with a tiny model where one would be trained)."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from tunebench import main

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "adding-a-task.md").read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def transcripts(page: str) -> list[list[tuple[str, list[str]]]]:
    """(command, the lines that the page shows of its output) of every block of a terminal."""
    found = []
    for block in blocks(page, "console"):
        parts: list[tuple[str, list[str]]] = []
        for line in block.splitlines():
            if line.startswith("$ "):
                parts.append((line[2:], []))
            else:
                parts[-1][1].append(line)
        found.append(parts)
    return found


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Path:
    """A folder of somebody's with the examples in it, and the files that the page shows."""
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def do(command: str, tiny_model: Path) -> int:
    words = shlex.split(command)
    assert words[0] == "tunebench"
    if words[1] in ("run", "plan") or words[1:3] in (["tasks", "check"], ["tasks", "new"]):
        words += ["--model", str(tiny_model)]
    if words[1] in ("run", "plan"):
        words[words.index("--budget") + 1] = "1e9flops"
    return main(words[1:])


def test_the_page_shows_three_transcripts():
    assert [len(parts) for parts in transcripts(PAGE)] == [3, 2, 2]


@pytest.mark.parametrize("number", [0, 1])
def test_a_file_of_a_strangers_goes_to_a_report_as_the_page_says(desk, tiny_model, capsys, number):
    for command, shown in transcripts(PAGE)[number]:
        capsys.readouterr()
        assert do(command, tiny_model) == 0
        said = capsys.readouterr().out
        if command.startswith("tunebench tasks"):  # what a run prints depends on the model
            assert said.splitlines() == shown
        if command.startswith("tunebench run"):
            assert said.splitlines()[-2:] == shown[-2:]
            assert Path(shown[-1].removeprefix("report: ")).exists()


def test_the_files_that_are_written_by_hand_are_a_sound_task(desk, tiny_model, capsys):
    for language in ("yaml", "python"):
        (text,) = blocks(PAGE, language)
        path = Path(text.split("\n", 1)[0].removeprefix("# "))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (row,) = map(json.loads, blocks(PAGE, "json"))
    reports = ["Sun all day.", "Not a cloud until dusk.", "Showers, then more of them.", "Fog that lifted early.", "Hail at tea."]
    labels = ["dry", "dry", "wet", "dry", "wet"]
    rows = [row, *({"report": report, "label": label} for report, label in zip(reports, labels, strict=True))]
    for split, part in {"train": rows[:2], "validation": rows[2:4], "test": rows[4:]}.items():
        (path.parent / f"{split}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in part))
    for command, _ in transcripts(PAGE)[2]:
        assert do(command, tiny_model) == 0
    said = capsys.readouterr().out
    assert "weather: nothing to mend (2 train, 2 validation, 2 test documents)" in said
    assert str(Path("my_tasks/weather/weather.yaml")) in said


def test_every_helper_that_the_page_names_can_be_imported():
    import tunebench

    table = PAGE[PAGE.index("| data |") : PAGE.index("Everything a task runs")]
    names = re.findall(r"`(\w+)(?:\([^`]*\))?`", table)
    assert len(names) > 10
    assert [name for name in names if not hasattr(tunebench, name)] == []


def test_every_key_of_our_block_stands_on_the_page():
    from harness.taskmeta import TaskMeta

    table = PAGE[PAGE.index("| key of") : PAGE.index("| kind | helpers")]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(TaskMeta.model_fields)


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_links_within_the_documentation_lead_somewhere(page):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    heads = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in heads, target
        elif "://" not in target:
            assert (ROOT / "docs" / target.split("#")[0]).exists(), target
