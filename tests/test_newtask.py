"""``tunebench tasks new``: what it makes of a file, and what it says of one that it cannot use."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest

from harness.loading import load_task
from harness.rows import read_splits
from harness.similar import similar_pairs
from tunebench import main

EXAMPLES = Path(__file__).resolve().parent.parent / "docs" / "examples"
WORDS = (
    "acorn", "basil", "cobalt", "dune", "easel", "flint", "gable", "hazel", "ivory",
    "jasper", "kettle", "lemon", "magnet", "nickel", "orbit", "pepper", "quiver", "rocket",
)  # fmt: skip


def csv(rows: list[tuple[str, str]], head: str = "message,topic") -> str:
    return "".join(f"{line}\n" for line in [head, *(f'"{text}",{label}' for text, label in rows)])


ROWS = [(f"{word} {WORDS[i - 7]} {WORDS[i * 5 % 18]}", "warm" if i % 2 else "cold") for i, word in enumerate(WORDS)]


@pytest.fixture
def new(tmp_path, tiny_model, capsys, monkeypatch):
    """Make a task of a file's text: (exit status, what was printed, what was said on stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(text: str | bytes, *words: str, name: str = "mine", file: str = "rows.csv") -> tuple[int, str, str]:
        Path(file).write_bytes(text if isinstance(text, bytes) else text.encode())
        if not {"--label", "--entities"} & set(words):
            words = (*words, "--label", "topic") if file != "rows.jsonl" else (*words, "--entities")
        words = words if "--text" in words or file == "rows.jsonl" else (*words, "--text", "message")
        status = main(["tasks", "new", name, "--from", file, "--model", str(tiny_model), *words])
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


def splits(name: str = "mine") -> dict[str, list[dict]]:
    return {split: list(part) for split, part in read_splits(Path("my_tasks") / name).items()}


def test_a_csv_becomes_a_sound_task_with_fixed_stratified_splits(new):
    status, said, _ = new(csv(ROWS), "--licence", "CC-BY-4.0")
    assert status == 0
    assert said.splitlines()[0] == "made my_tasks/mine: 12 train, 2 validation, 4 test; left out: none"
    found = splits()
    assert sorted((row["text"], row["label"]) for part in found.values() for row in part) == sorted(ROWS)
    assert {split: Counter(row["label"] for row in part) for split, part in found.items()} == {
        "train": {"warm": 6, "cold": 6}, "validation": {"warm": 1, "cold": 1}, "test": {"warm": 2, "cold": 2},
    }  # fmt: skip
    task = load_task("mine", [Path("my_tasks")])
    assert (task.choices, task.meta.licence, task.meta.redistribute) == (("cold", "warm"), "CC-BY-4.0", False)
    assert task.examples(None)[0].prompt.startswith("Message: ")
    assert task.examples(None)[0].prompt.endswith("\nTopic (cold or warm):")
    again = new(csv(list(reversed(ROWS))), name="other")
    assert again[0] == 0
    assert splits("other") == found, "splits follow from the texts, not from their order"


def test_the_hashes_are_those_of_the_files_and_the_datasheet_counts_them(new):
    assert new(csv(ROWS))[0] == 0
    home = Path("my_tasks/mine")
    for line in (home / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((home / name).read_bytes()).hexdigest() == digest
    sheet = (home / "datasheet.md").read_text()
    assert "| train | 12 |" in sheet
    assert "**Licence**: unknown" in sheet


def test_entities_become_a_sound_task_whose_prompt_shows_one_of_them(new):
    text = (EXAMPLES / "garden_diary.jsonl").read_text()
    status, said, _ = new(text, file="rows.jsonl")
    assert status == 0, said
    found = splits()
    rows = [json.loads(line) for line in text.splitlines()]
    known = {row["text"] for part in found.values() for row in part}
    (shown,) = {row["text"] for row in rows} - known
    task = load_task("mine", [Path("my_tasks")])
    assert task.meta.entity_types == ["DATE", "PLACE", "PLANT"]
    assert all(sample.prompt.startswith(f"{shown} -> ") for sample in task.samples(None))


def test_lists_and_labels_are_read_as_entities_too(new):
    rows = [{"body": f"{word} by {i} May", "marks": [[0, len(word), "thing"]] if i % 3 else []} for i, word in enumerate(WORDS)]
    rows[0]["marks"] = [{"start": 0, "end": 5, "label": "THING", "text": "acorn"}]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    assert new(text, "--text", "body", "--entities", "marks", file="rows.jsonl")[0] == 0
    assert load_task("mine", [Path("my_tasks")]).meta.entity_types == ["THING"]


def test_repeated_texts_stay_once_contradicting_ones_go_and_near_ones_stay_together(new):
    base = "The quick survey of the northern meadow was finished on the second Monday of the month, as planned"
    near = [(f"{base}, by {word}", "warm") for word in ("Ann", "Bob", "Cat", "Dan", "Eve")]
    rows = [*ROWS, *near, ROWS[0], (ROWS[1][0].upper(), "cold"), ROWS[1]]
    status, said, _ = new(csv(rows))
    assert status == 0
    assert "left out: 1 repeated, 3 with several answers" in said
    found = splits()
    assert sum(map(len, found.values())) == len(rows) - 4
    texts = {split: [row["text"] for row in part] for split, part in found.items()}
    assert len({split for split, part in texts.items() if any(base in text for text in part)}) == 1
    assert not list(similar_pairs(texts["train"], texts["test"] + texts["validation"]))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace('",', '";').replace("message,topic", "message;topic"),
    ],
)
def test_files_as_spreadsheets_write_them_are_read(new, change):
    assert new(change(csv(ROWS)))[0] == 0
    assert {row["text"] for part in splits().values() for row in part} == {text for text, _ in ROWS}


def test_tabs_and_json_lines_with_labels_are_read(new):
    assert new(csv(ROWS, "message\ttopic").replace('",', '"\t'), file="rows.tsv")[0] == 0
    lines = "".join(json.dumps({"message": text, "topic": i % 2}) + "\n\n" for i, (text, _) in enumerate(ROWS))
    assert new(lines, "--text", "message", "--label", "topic", file="rows.jsonl", name="numbers")[0] == 0
    assert load_task("numbers", [Path("my_tasks")]).choices == ("0", "1")


def test_texts_with_quotes_commas_line_ends_and_braces_survive(new):
    odd = 'He said ""no"", then\nleft; {{text}} {% if %} \u2028 \x0b end'
    assert new(csv([*ROWS, (odd, "warm")]))[0] == 0
    assert odd.replace('""', '"') in {row["text"] for part in splits().values() for row in part}


BAD_CSV = {
    "no file": (None, "nowhere.csv does not exist"),
    "no rows": ("message,topic\n", "rows.csv:1: the file holds no rows: add some"),
    "no such column": (csv(ROWS, "mesage,topic"), "rows.csv:1: unknown column 'message': did you mean mesage?"),
    "an empty text": (csv([*ROWS, (" ", "warm")]), "rows.csv:20: 'message' is empty: fill it in, or take the row out"),
    "an empty label": (csv([ROWS[0], ("x", ""), *ROWS]), "rows.csv:3: 'topic' is empty"),
    "a column too many": (csv(ROWS) + "a,b,c\n", "rows.csv:20: 3 columns where the first line has 2: quote texts"),
    "line ends inside": (csv([("a\nb", "warm"), ("x", ""), *ROWS]), "rows.csv:4: 'topic' is empty"),
    "an open quote": (csv(ROWS) + '"never closed,warm\n', "rows.csv:20: "),
    "one label": (csv([(text, "warm") for text, _ in ROWS]), "rows.csv:1: 'topic' holds one label only (warm)"),
    "too many labels": (csv([(f"{i} x", f"k{i}") for i in range(70)]), "rows.csv:1: 'topic' holds 70 labels"),
    "a rare label": (csv([*ROWS, ("one of a kind", "hot")]), "rows.csv:1: too few rows of hot (1); every label needs 4"),
    "a column twice": (csv(ROWS, "message,message"), "rows.csv:1: column 'message' stands twice: rename one"),
    "all contradict": (csv([*ROWS, *((text, "hot") for text, _ in ROWS)]), "rows.csv:1: no row is left: every text has several"),
    "one text of a label": (csv([*ROWS, *[("again", "hot")] * 6]), "rows.csv:1: too few rows of hot (1); every label needs 4"),
    "not UTF-8": (csv(ROWS).encode() + "\nZo\xeb,warm".encode("latin-1"), "rows.csv:21: not UTF-8: save the file as UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "says"), BAD_CSV.values(), ids=BAD_CSV)
def test_a_csv_that_cannot_be_used_is_said_in_a_line_and_nothing_is_written(new, tiny_model, capsys, text, says):
    if text is None:
        status = main(["tasks", "new", "mine", "--from", "nowhere.csv", "--label", "topic", "--model", str(tiny_model)])
        said = capsys.readouterr().err
    else:
        status, _, said = new(text)
    assert status == 2
    assert says in said
    assert said.count("\n") == 1
    assert not Path("my_tasks").exists()


ENTITY = {"start": 0, "end": 5, "type": "THING"}
BAD_ENTITIES = {
    "not JSON": ("{", "rows.jsonl:2: not JSON"),
    "a list": ("[]", "rows.jsonl:2: a row is an object ({...}), not list"),
    "no list": ({"text": "acorn", "entities": "acorn"}, "rows.jsonl:2: 'entities' must be a list of entities"),
    "no text": ({"text": "", "entities": []}, "rows.jsonl:2: 'text' is empty"),
    "a word": (
        {"text": "acorn", "entities": ["acorn"]},
        ":2: an entity is {start, end, type} or [start, end, type], not 'acorn'",
    ),
    "no end": ({"text": "acorn", "entities": [{"start": 0, "type": "THING"}]}, "rows.jsonl:2: an entity needs start and end"),
    "a strange type": ({"text": "acorn", "entities": [ENTITY | {"type": "A:B"}]}, "rows.jsonl:2: 'A:B' is no type of an entity"),
    "another text": (
        {"text": "acorn", "entities": [ENTITY | {"text": "oak"}]},
        "at 0 to 5 says 'oak', the text has 'acorn' there",
    ),
    "a cut word": ({"text": "acorns", "entities": [ENTITY]}, "rows.jsonl:2: entity THING at 0 to 5 ('acorn') cuts a word"),
    "half a character": (
        '{"text": "\\ud83d", "entities": []}',
        "rows.jsonl:2: half a character (a lone surrogate): mend the text",
    ),
    "not the first": ({"text": "acorn, acorn", "entities": [ENTITY | {"start": 7, "end": 12}]}, "a mention also stands earlier"),
    "outside": ({"text": "oak", "entities": [ENTITY]}, "rows.jsonl:2: entity THING at 0 to 5 lies outside the text"),
}


@pytest.mark.parametrize(("row", "says"), BAD_ENTITIES.values(), ids=BAD_ENTITIES)
def test_entities_that_cannot_be_used_are_said_with_their_line(new, row, says):
    good = json.dumps({"text": "acorn by the gate", "entities": [ENTITY]})
    status, _, said = new(f"{good}\n{row if isinstance(row, str) else json.dumps(row)}\n", file="rows.jsonl")
    assert (status, said.count("\n")) == (2, 1)
    assert says in said
    assert not Path("my_tasks").exists()


@pytest.mark.parametrize(
    ("words", "name", "says"),
    [
        ((), "a-b", "'a-b' is no name for a task"),
        ((), "boolq", "a task 'boolq' exists already"),
        ((), "medical_ner", "a task 'medical_ner' exists already"),
        (("--label", "topic", "--entities"), "mine", "give one of --label COLUMN (classification) and --entities"),
        (("--to", "."), "rows", "rows exists already: choose another name, or another folder with --to"),
    ],
)
def test_a_request_that_cannot_be_met_is_said_in_a_line(new, words, name, says):
    Path("rows").mkdir()
    status, _, said = new(csv(ROWS), *words, name=name)
    assert (status, said.count("\n")) == (2, 1)
    assert says in said


def test_a_file_of_another_kind_is_refused(new):
    status, _, said = new("x", file="rows.xlsx")
    assert status == 2
    assert "a task is made from .csv, .tsv or .jsonl (JSON lines), not from '.xlsx'" in said


def test_labels_that_look_like_yaml_or_like_gaps_survive(new):
    names = ["yes", "null", "1.0", "%NAME%", "a: {b}", 'q"q', "\u007f", "Zoë"]
    rows = [(f"{text} {WORDS[n]} {n}", name.replace('"', '""')) for n, name in enumerate(names) for text, _ in ROWS[:6]]
    text = "message,topic\n" + "".join(f'"{text}","{label}"\n' for text, label in rows)
    status, said, wrong = new(text, "--licence", "%LICENCE%")
    assert status == 0, said + wrong
    task = load_task("mine", [Path("my_tasks")])
    assert sorted(task.choices) == sorted(names)
    assert task.meta.licence == "%LICENCE%"


def test_texts_of_several_lines_with_braces_can_be_shown_in_a_prompt(new):
    rows = [{"text": f"{word} {{x}}\nby {i} May", "entities": [{"start": 0, "end": len(word), "type": "THING"}]} for i, word in
            enumerate(WORDS)]  # fmt: skip
    status, said, wrong = new("".join(json.dumps(row) + "\n" for row in rows), file="rows.jsonl")
    assert status == 0, said + wrong
