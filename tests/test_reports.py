"""The report, on synthetic records: nothing is dropped, nothing leaks, nothing is claimed that the numbers do not carry."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UserError
from harness.record import CellName, Inference, Keys, Metric, Record, Spend, write_record, write_samples
from reports import markup, plots, wording
from reports.report import write_report

CLASSES = ["negative", "neutral", "positive"]
HOSTILE = "x|y `code` <script>alert(1)</script> [a](http://evil.example) \u202e\u200b\x07\nline @someone $x$ **bold**"


def samples(right: int, n: int = 20, reference: str | None = "positive", text: str = "secret sentence") -> list[dict]:
    """`n` samples, the first `right` of them answered rightly."""
    answers = ["positive" if i < right else "negative" for i in range(n)]
    return [
        {"doc_id": i, "prompt": f"<|user|>{text} {i}", "text": f"{text} {i}", "prediction": answer, "reference": reference}
        | {"scores": {"acc": float(answer == reference)}}
        for i, answer in enumerate(answers)
    ]


def add(
    root: Path,
    method: str,
    value: float | None = 0.5,
    half: float = 0.05,
    *,
    seed: int = 0,
    status: Any = "ok",
    flops: float = 0.0,
    task: dict[str, Any] | None = None,
    cell: dict[str, Any] | None = None,
    metrics: dict[str, Metric] | None = None,
    lines: list[dict] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """Write one cell (record and samples) and return its line of run.json."""
    name = CellName(**{"task": "colours", "method": method, "model": "tiny", "budget": "1e12flops", "seed": seed} | (cell or {}))
    folder = root / "cells" / f"{len(list(root.glob('cells/*'))):02d}-{name.method.replace('/', '_')}-s{seed}"
    folder.mkdir(parents=True)
    evaluated = status in ("ok", "unscored")
    low, high = (None, None) if value is None else (max(0.0, value - half), min(1.0, value + half))
    facts = {"kind": "classification", "chance": 1 / 3, "choices": CLASSES, "redistribute": True, "test_samples": 20}
    record = Record(
        **{
            "cell": name,
            "status": status,
            "label": method,
            "main_metric": "macro_f1",
            "metrics": metrics or ({"macro_f1": Metric(value=value, low=low, high=high, n=20)} if status == "ok" else {}),
            "confusion": {c: {d: 5 if c == d else 1 for d in CLASSES} for c in CLASSES} if status == "ok" else {},
            "spend": Spend(flops=flops, seconds=3, peak_memory_bytes=10**9, unspent=1e12 - flops, examples=int(flops > 0) * 64),
            "inference": Inference(flops_per_1000=1e12, seconds_per_1000=4.0) if evaluated else Inference(),
            "curve": [{"share": i / 5, "loss": 2.0 / i} for i in range(1, 6)] if flops else [],
            "task": facts | (task or {}),
            "keys": Keys(spec="0" * 64),
            "samples_sha256": write_samples(folder, lines or samples(10)) if evaluated else "",
            "provenance": {"command": "tunebench run", "packages": {"torch": "2.9"}, "hardware": {"cpu": "abacus"}},
        }
        | fields
    )
    write_record(folder, record)
    return {"id": folder.name, **name.model_dump(include={"task", "method", "model", "budget", "seed"}), "label": record.label}


def run_json(root: Path, cells: list[dict], **more: Any) -> None:
    root.mkdir(exist_ok=True)
    (root / "run.json").write_text(json.dumps({"command": "tunebench run m.yaml", "cells": cells, **more}), encoding="utf-8")


def report(root: Path) -> str:
    return write_report(root).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    return re.split(r"^#+ ", text.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.M)[0]


@pytest.fixture
def text_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of words alone: no picture is drawn."""
    monkeypatch.setattr("reports.report.save", lambda *_: None)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with every kind of outcome, already reported."""
    root = tmp_path_factory.mktemp("full")
    f1 = {"macro_f1": Metric(value=0.9, low=0.85, high=0.94, n=20), "f1_negative": Metric(value=0.875, n=20)}
    cells = [
        add(root, "zero_shot", 0.35),
        add(root, "tfidf", 0.6, lines=samples(12)),
        add(root, "lora", 0.9, flops=9.9e11, metrics=f1, lines=samples(18), notes=["batch halved"]),
        add(root, "sft", 0.88, flops=9.5e11, lines=samples(15)),
        add(root, "dpo", status="failed", reason="out of memory", log="log.txt"),
        add(root, "cohere", status="skipped", reason="no API key"),
        add(root, "hidden", status="unscored", reason="labels are hidden", lines=samples(3, reference=None)),
        add(root, "kto"),
        {"id": "gone", "task": "colours", "method": "ppo", "label": "PPO", "model": "tiny", "budget": "1e12flops", "seed": 0},
    ]
    (root / "cells" / cells[7]["id"] / "record.json").write_text('{"schema_version": 1, "ce')
    run_json(root, cells, description="A trial.", started="2026-01-01", finished="2026-01-02", notes=["Mind the gap."])
    write_report(root)
    return root


def test_every_file_named_exists(full: Path) -> None:
    text = (full / "report.md").read_text(encoding="utf-8")
    named = re.findall(r"\]\((plots/[^)]+)\)", text)
    assert {name.rsplit("-", 1)[1] for name in named} >= {
        f"{kind}.{end}" for kind in ("scores", "compute", "confusion", "loss") for end in ("png", "svg")
    }
    for name in named:
        assert (full / name).stat().st_size > 1000, name
    assert {path.name for path in (full / "plots").iterdir()} == {name.removeprefix("plots/") for name in named}


def test_every_outcome_is_shown_with_its_reason(full: Path) -> None:
    text = (full / "report.md").read_text(encoding="utf-8")
    for said in (
        "**dpo**, **failed**: out of memory. The traceback is in log.txt",
        "**cohere**, **skipped**: no API key.",
        "**hidden**, **unscored**: labels are hidden.",
        "**kto**, **damaged**: cells/",
        "**PPO**, **missing**: the run asked for it",
        "4 ok, 1 unscored, 1 skipped, 1 failed, 1 damaged, 1 missing",
        "No score from **dpo**, **cohere**, **hidden** and 2 others",
    ):
        assert said in text
    results = section(text, "Results")
    order = [line.split("|")[2].strip() for line in results.splitlines() if line.startswith("| ")][2:]
    assert order == ["lora", "sft", "tfidf", "zero\\_shot", "dpo", "cohere", "hidden", "kto", "PPO"]
    assert str(full) not in text


def test_findings_and_tables(full: Path) -> None:
    text = (full / "report.md").read_text(encoding="utf-8")
    assert "**lora** scored best: macro-F1 0.900 (95 % interval 0.850 to 0.940), on 20 test samples." in text
    assert "0.550 lower, more than the luck of the test samples explains (their intervals do not overlap)" in text
    assert "The best method without a language model (**tfidf**) scored 0.600" in text
    assert "The interval of **sft** overlaps with the one of **lora**: this run does not tell them apart." in text
    assert "Chance level: 0.333" in text
    assert "| lora | 0.875 |" in section(text, "F1 by class")
    assert "| lora | 9.90e11 | 1.00e10 (1.0 %) | 64 (0 epochs) | 3 s | 1 GB | 0 | 0 bytes |" in section(text, "Cost")
    assert "batch halved (colours, lora)" in section(text, "Notes")
    assert "Mind the gap." in section(text, "Notes")
    assert "tunebench run m.yaml" in section(text, "Command")
    assert "All records come from one environment." in section(text, "Environment")
    for word in ("FLOP", "LoRA", "TF-IDF", "Macro-F1", "MCC", "Chance", "Majority", "Zero-shot", "95 % interval", "Accuracy"):
        assert f"- **{word}**:" in text


@pytest.mark.usefixtures("text_only")
def test_disagreements_are_counted(tmp_path: Path) -> None:
    add(tmp_path, "zero_shot", 0.4, lines=samples(5))
    add(tmp_path, "lora", 0.8, flops=9e11, lines=samples(12, text="an open sentence " + "word " * 200))
    said = section(report(tmp_path), "Where the methods disagree")
    assert "Both methods answered 20 samples; on 7 of them the answers differ." in said
    assert "All methods were right on 5 (25 %)" in said
    assert "No method was right on 8 (40 %)" in said
    assert "| A | lora | – | 7 |" in said
    assert "| B | zero\\_shot | 0 | – |" in said
    assert said.count("**Sample ") == 7
    assert "**Sample 5**: “an open sentence word" in said
    assert "…”" in said
    assert "| negative | wrong | zero\\_shot |" in said


@pytest.mark.usefixtures("text_only")
def test_a_pooled_metric_and_several_doc_ids(tmp_path: Path) -> None:
    pooled = [
        {"doc_id": f"d{i}", "prompt": "p", "prediction": ["a"], "reference": ["a"], "scores": {"macro_f1": [1, 2]}}
        for i in range(3)
    ]
    other = [line | {"prediction": ["b"]} for line in pooled]
    add(tmp_path, "zero_shot", 0.4, lines=pooled, task={"kind": "entities"}, confusion={})
    add(tmp_path, "lora", 0.8, lines=[*other, {"doc_id": "more", "prediction": "c"}], task={"kind": "entities"}, confusion={})
    said = section(report(tmp_path), "Where the methods disagree")
    assert "Right and wrong cannot be told sample by sample" in said
    assert "| A | lora | – | 3 |" in said
    assert "plots/colours-confusion" not in said


@pytest.mark.parametrize("stated", [{"redistribute": False}, {"redistribute": None}])
@pytest.mark.parametrize("kind", ["classification", "generation"])
def test_text_that_may_not_be_passed_on_stays_out(tmp_path: Path, stated: dict, kind: str) -> None:
    facts = {"kind": kind, **stated}
    mine = [line | {"prediction": "answer copied from a secret sentence"} for line in samples(20)]
    kept = [line | {"reference": "reference secret"} for line in samples(20)] if kind == "generation" else samples(20)
    add(tmp_path, "zero_shot", 0.3, lines=mine, task=facts)
    add(tmp_path, "lora", 0.8, flops=1e11, lines=kept, task=facts)
    text = report(tmp_path)
    assert "**Sample 0**: text with SHA-256 " in text
    for path in [tmp_path / "report.md", *tmp_path.glob("plots/*.svg")]:
        assert "secret" not in path.read_text(encoding="utf-8")
        assert "copied" not in path.read_text(encoding="utf-8")
    assert ("positive" in section(text, "Where the methods disagree")) == (kind == "classification")


def test_hostile_text_is_shown_and_does_nothing(tmp_path: Path) -> None:
    confusion = {HOSTILE: {HOSTILE: 3, CLASSES[0]: 1}}
    hostile = {
        "label": HOSTILE,
        "confusion": confusion,
        "notes": [HOSTILE],
        "reason": HOSTILE,
        "provenance": {"packages": {HOSTILE: HOSTILE}},
    }
    metrics = {
        "macro_f1": Metric(value=0.5, low=0.4, high=0.6, n=20),
        f"f1_{HOSTILE}": Metric(value=0.5, n=20),
        HOSTILE: Metric(value=1, n=2),
    }
    cells = [
        add(
            tmp_path,
            "lora",
            flops=1e11,
            metrics=metrics,
            cell={"task": f"../{HOSTILE}"},
            lines=samples(20, text=HOSTILE),
            **hostile,
        ),
        add(tmp_path, "sft", cell={"task": f"../{HOSTILE}"}, lines=samples(3, text=HOSTILE), label="other"),
        add(tmp_path, "dpo", status="failed", cell={"task": f"../{HOSTILE}"}, **(hostile | {"confusion": {}})),
    ]
    run_json(
        tmp_path,
        [*cells, {"id": HOSTILE, "task": HOSTILE, "method": HOSTILE, "label": "\ud800"}],
        notes=[HOSTILE],
        description=HOSTILE,
    )
    text = report(tmp_path)
    outside = text.replace(section(text, "Command"), "")
    assert "alert(1)" in outside
    for danger in ("<script", "](http", "`code`", "**bold**", "@someone", "$x$", "\u202e", "\u200b", "\x07", "://"):
        assert danger not in outside
    for line in outside.splitlines():
        if line.startswith("|"):  # every row of a table has as many cells as its head
            assert line.count("|") >= 3
    tables = re.findall(r"(?:^\|.*\n?)+", outside, flags=re.M)
    assert len(tables) > 4
    assert all(len({line.count("|") for line in table.splitlines()}) == 1 for table in tables)
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", path.name) for path in (tmp_path / "plots").iterdir())
    assert not list(tmp_path.parent.glob("*.png"))


@pytest.mark.usefixtures("text_only")
def test_one_seed_is_no_verdict_on_a_method(tmp_path: Path) -> None:
    add(tmp_path, "zero_shot", 0.3, seed=7)
    add(tmp_path, "lora", 0.8, seed=7, flops=1e11)
    text = report(tmp_path)
    assert "There is one seed (7): this compares these trained models, not the methods in general." in text
    assert "### Seeds" not in text


def test_several_seeds_are_averaged_and_listed(tmp_path: Path) -> None:
    add(tmp_path, "zero_shot", 0.3)
    for seed, value in enumerate((0.7, 0.8, 0.9)):
        add(tmp_path, "lora", value, seed=seed, flops=1e11)
    add(tmp_path, "lora", seed=3, status="failed", reason="boom")
    add(tmp_path, "sft", 0.78, flops=1e11)
    text = report(tmp_path)
    assert "| 1 | lora | 0.800 (0.650 to 0.950), mean of 3 seeds | 20 | ok: 3 of 4 seeds; failed: 1 of 4 seeds |" in text
    assert "**lora** scored best: macro-F1 0.800 (mean of 3 seeds; the seeds' 95 % intervals reach from 0.650 to 0.950)" in text
    assert "the interval shown is per seed" in text
    assert "Only one seed of **sft** has a score" in text
    assert "There is one seed" not in text
    assert "| lora | 1 | 0.800 | 0.750 to 0.850 |" in section(text, "Seeds")
    assert "**lora**, seed 3, **failed**: boom." in text


@pytest.mark.usefixtures("text_only")
def test_overlapping_intervals_are_not_told_apart(tmp_path: Path) -> None:
    add(tmp_path, "zero_shot", 0.78)
    add(tmp_path, "lora", 0.8, flops=1e11)
    assert "0.020 lower, but their intervals overlap, so this run does not tell them apart." in report(tmp_path)


@pytest.mark.usefixtures("text_only")
@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("tfidf", "It uses no language model at all: it is a classical baseline. The best fine-tuned language model is **lora**"),
        ("majority", "It uses no language model and reads no text"),
        ("zero_shot", "It is the untuned model: nothing that was spent on tuning it raised this score."),
    ],
)
def test_the_best_may_be_no_fine_tuned_model(tmp_path: Path, method: str, said: str) -> None:
    add(tmp_path, method, 0.9)
    add(tmp_path, "lora", 0.5, flops=1e11)
    assert said in report(tmp_path)


def test_lower_is_better_and_missing_values(tmp_path: Path) -> None:
    def loss(value: float | None) -> dict[str, Metric]:
        return {"macro_f1": Metric(value=value, n=20, higher_is_better=False)}

    add(tmp_path, "zero_shot", metrics=loss(140.0), task={"chance": None})
    add(tmp_path, "lora", flops=1e11, metrics=loss(12.5), task={"chance": None})
    add(tmp_path, "sft", flops=1e11, metrics=loss(None), task={"chance": None})
    text = report(tmp_path)
    assert "**lora** scored best: macro-F1 12.500 (no interval is recorded)" in text
    assert "127.5 higher; without intervals it cannot be said whether that is more than luck" in text
    assert "| – | sft | – | – | ok, but without a value of this metric |" in text


def test_groups_and_environments(tmp_path: Path) -> None:
    for budget in ("1e12flops", "120s"):
        add(tmp_path, "zero_shot", 0.3, cell={"budget": budget})
        add(tmp_path, "lora", 0.8, flops=1e11, cell={"budget": budget}, provenance={"packages": {"torch": "3.0"}})
    text = report(tmp_path)
    assert "## 1. colours, 1e12 FLOPs" in text
    assert "## 2. colours, 120 seconds" in text
    assert "These records come from more than one environment (they differ in package · torch)" in text
    assert "**The records come from more than one environment**" in section(text, "Environment")
    assert len(list((tmp_path / "plots").glob("*-scores.png"))) == 2


@pytest.mark.usefixtures("text_only")
@pytest.mark.usefixtures("text_only")
def test_a_failed_seed_without_a_label_joins_its_method(tmp_path: Path) -> None:
    cells = [add(tmp_path, "lora", 0.5, flops=1e11, label="LoRA"), add(tmp_path, "lora", seed=1, status="failed", label="")]
    cells += [add(tmp_path, "dpo", status="skipped", label="", task={"redistribute": None}) | {"label": "DPO"}]
    assert "| – | dpo | – | – | skipped |" in report(tmp_path)
    run_json(tmp_path, cells)
    text = report(tmp_path)
    assert "| 1 | LoRA | 0.500 (0.450 to 0.550) | 20 | ok: 1 of 2 seeds; failed: 1 of 2 seeds |" in text
    assert "| – | DPO | – | – | skipped |" in text
    assert "**LoRA**, seed 1, **failed**: no reason is recorded." in text


@pytest.mark.usefixtures("text_only")
def test_text_that_was_never_stored(tmp_path: Path) -> None:
    bare = [line | {"text": None, "prompt": None} for line in samples(4)]
    add(tmp_path, "zero_shot", 0.5, lines=bare, task={"redistribute": False})
    add(tmp_path, "lora", 0.5, lines=samples(9), flops=1e11, task={"redistribute": False})
    assert "**Sample 4**: its text is not stored" in report(tmp_path)


def test_same_label_with_other_settings_stays_apart(tmp_path: Path) -> None:
    for rank in (4, 64):
        add(tmp_path, "lora", 0.5, flops=1e11, cell={"settings": {"rank": rank}})
    text = report(tmp_path)
    assert "lora (rank=4)" in text
    assert "lora (rank=64)" in text


def test_the_same_twice(full: Path) -> None:
    before = {path: path.read_bytes() for path in full.rglob("*") if path.is_file()}
    write_report(full)
    assert {path: path.read_bytes() for path in full.rglob("*") if path.is_file()} == before


def test_an_empty_folder_is_refused_and_a_broken_run_json_is_not(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no results"):
        write_report(tmp_path)
    (tmp_path / "run.json").write_text("{")
    assert "run.json could not be read" in report(tmp_path)
    add(tmp_path, "lora", status="failed", reason="boom")
    text = report(tmp_path)
    assert "No method gave a score here" in text
    assert "Nothing was scored, so there are no pictures of scores." in text


@pytest.mark.usefixtures("text_only")
def test_a_damaged_record_that_nobody_asked_for(tmp_path: Path) -> None:
    cell = add(tmp_path, "lora")
    (tmp_path / "cells" / cell["id"] / "record.json").write_text('{"schema_version": 99}')
    assert f"**{cell['id']}**, **damaged**: cells/" in report(tmp_path)


def test_places_keep_their_distance() -> None:
    placed = plots.spread([0.5, 0.5, 0.5, 0.9], 0.2, 0.0, 1.0)
    assert placed == pytest.approx([0.3, 0.5, 0.7, 0.9])
    assert plots.spread([0.95, 0.99], 0.2, 0.0, 1.0) == pytest.approx([0.8, 1.0])
    assert plots.spread([], 0.2, 0.0, 1.0) == []


def test_labels_that_would_look_alike_are_numbered() -> None:
    fitted = plots.fit_all(["a" * 30 + "x" + "b" * 30, "a" * 30 + "y" + "b" * 30], 12)
    assert len(set(fitted.values())) == 2
    assert plots.fit("LoRA on all linear layers, rank 64", 20) == "LoRA on all…rank 64"


def test_numbers_in_words() -> None:
    assert [wording.flops(x) for x in (0, 4.987e12, 5e8)] == ["0", "4.99e12", "5.00e8"]
    assert [wording.seconds(x) for x in (0.04, 3.2, 59.4, 125, 3780)] == ["0.04 s", "3.2 s", "59 s", "2 min 5 s", "1 h 3 min"]
    assert [wording.size(x) for x in (0, 999, 19_537_920, 538_060_032, 2.3e9)] == [
        "0 bytes",
        "999 bytes",
        "20 MB",
        "538 MB",
        "2.3 GB",
    ]
    assert wording.left_over(2.5e10, "5e12flops") == "2.50e10 (0.5 %)"
    assert wording.left_over(5e12, "5e12flops") == "all of it"
    assert wording.class_of("f1_macro") is None
    assert markup.listing(["a", "b", "c", "d", "e"]) == "a, b, c and 2 others"


@pytest.mark.usefixtures("text_only")
def test_cells_of_another_test_set_are_not_ranked_in_silence(tmp_path: Path) -> None:
    for method, references in (("tfidf", "old"), ("lora", "new")):
        add(tmp_path, method, 0.5, provenance={"task": {"requests": "same", "references": references}})
    assert "not scored on the same test data" in report(tmp_path)


@pytest.mark.usefixtures("text_only")
def test_worse_than_chance_is_said(tmp_path: Path) -> None:
    add(tmp_path, "zero_shot", 0.2)
    add(tmp_path, "lora", 0.22, flops=1e11)
    assert "lies below the chance level (0.333): it is worse than guessing" in report(tmp_path)
