"""Nothing that was trained is lost when scoring fails, dies or changes; nothing that may not be passed on is kept."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.record import CellName, Keys, Record, commit, read_record, read_samples, write_record, write_samples
from tests.conftest import TASK, write_task
from tests.test_run import Bench

SCORING = """\
from tunebench import classification_results, macro_f1_of_pairs

def process_results(doc, results):
    return classification_results(doc, results, ("bad", "good"), doc["label"])

def macro_f1(items):
    return macro_f1_of_pairs(items)
"""


def scored_task(folder, redistribute=True):
    yaml = TASK.format(name="toy").replace(
        "metric_list:\n  - metric: acc\n    aggregation: mean\n",
        "process_results: !function scoring.process_results\nmetric_list:\n  - metric: acc\n    aggregation: mean\n",
    )
    yaml = yaml.replace("redistribute: true", f"redistribute: {redistribute}".lower())
    include = write_task(folder, yaml=yaml)
    (include / "toy" / "scoring.py").write_text(SCORING)
    return include


def record_of(bench) -> dict:
    (found,) = bench.records().values()
    return found


def test_a_scorer_that_breaks_and_is_mended_costs_no_training(tmp_path, tiny_model):
    include = scored_task(tmp_path / "tasks")
    bench = Bench(tmp_path, tiny_model, include)
    scoring = include / "toy" / "scoring.py"
    scoring.write_text(SCORING.replace("return classification_results", "return clasification_results"))
    assert bench(methods="sft").returncode == 1
    broken = record_of(bench)
    assert broken["status"] == "failed"
    assert "NameError" in broken["reason"]
    assert broken["spend"]["flops"] > 0
    scoring.write_text(SCORING)
    mended = bench(methods="sft")
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert "training" not in mended.stdout
    whole = record_of(bench)
    assert whole["status"] == "ok"
    assert whole["spend"] == broken["spend"]
    scoring.write_text(SCORING.replace("return classification_results", "return clasification_results") + "\n")
    assert bench(methods="sft").returncode == 1  # a good record, scored again by a broken scorer
    assert record_of(bench)["spend"] == whole["spend"]
    scoring.write_text(SCORING)
    again = bench(methods="sft")
    assert "training" not in again.stdout
    assert record_of(bench)["metrics"] == whole["metrics"]


def test_text_that_may_not_be_passed_on_is_nowhere_even_when_scoring_fails(tmp_path, tiny_model):
    include = scored_task(tmp_path / "tasks", redistribute=False)
    bench = Bench(tmp_path, tiny_model, include)
    for scoring in (SCORING.replace("return classification_results", "raise KeyError; return classification_results"), SCORING):
        (include / "toy" / "scoring.py").write_text(scoring)
        bench(methods="zero_shot")
        written = [p.read_text(errors="replace") for p in bench.results.rglob("*") if p.is_file() and p.suffix != ".png"]
        assert not any("number 3" in text for text in written)
    assert record_of(bench)["status"] == "ok"
    line = json.loads(next(bench.results.glob("cells/*/samples.jsonl")).read_text().splitlines()[0])
    assert line["text"] is None
    assert len(line["text_sha256"]) == 64


def test_a_seconds_budget_too_small_for_a_step_is_said(tmp_path, tiny_model):
    bench = Bench(tmp_path, tiny_model, write_task(tmp_path / "tasks"))
    done = bench(methods="sft", budget="0.001s")
    assert done.returncode == 1
    assert "does not pay for one training step" in record_of(bench)["reason"]


def test_a_file_in_the_working_folder_is_not_taken_for_a_library(tmp_path, tiny_model, monkeypatch):
    bench = Bench(tmp_path, tiny_model, write_task(tmp_path / "tasks"))
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness" / "__init__.py").write_text("raise SystemExit('the wrong house')\n")
    monkeypatch.chdir(tmp_path)
    command = ["tunebench", *bench.command(methods="zero_shot")[3:]]
    done = subprocess.run(
        [str(Path(sys.executable).parent / command[0]), *command[1:]], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def pair(tmp_path):
    """An old record with its samples, and a new pair that replaces them."""
    name = CellName(task="t", method="m", model="b", budget="1s", seed=0)
    old = commit(tmp_path, Record(cell=name, status="ok", keys=Keys(spec="s", score="old")), [{"doc_id": 0, "scores": {}}])
    new = Record(cell=name, status="ok", keys=Keys(spec="s", score="new"))
    return tmp_path, old, new, [{"doc_id": 0, "scores": {"acc": 1.0}}]


def test_dying_before_the_new_record_leaves_the_old_pair(pair):
    folder, _, _, samples = pair
    write_samples(folder, samples, "samples.next.jsonl")
    found = read_record(folder)
    assert found is not None
    assert found.keys.score == "old"
    assert read_samples(folder)[0]["scores"] == {}


def test_dying_after_the_new_record_is_finished_by_the_next_reader(pair):
    folder, _, new, samples = pair
    sha = write_samples(folder, samples, "samples.next.jsonl")
    write_record(folder, new.model_copy(update={"samples_sha256": sha}))
    found = read_record(folder)
    assert found is not None
    assert found.keys.score == "new"
    assert read_samples(folder)[0]["scores"] == {"acc": 1.0}


def test_a_reader_that_finishes_the_move_does_not_fail_the_writer(pair, monkeypatch):
    folder, _, new, samples = pair

    def written_and_read_at_once(where, record):
        write_record(where, record)
        assert read_record(where) is not None

    monkeypatch.setattr("harness.record.write_record", written_and_read_at_once)
    commit(folder, new, samples)
    assert read_samples(folder)[0]["scores"] == {"acc": 1.0}
