"""Bad requests: one line on standard error, status 2, before any model loads."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import TASK, write_task


def tunebench(*arguments: object, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "tunebench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def refused(*arguments: object, **options) -> str:
    done = tunebench(*arguments, **options)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture
def run(tmp_path, toy, tiny_model):
    def call(*extra: object, task: str = "toy", methods: str = "majority", include: Path = toy) -> str:
        given = ("--tasks", task, "--methods", methods, "--model", tiny_model, "--include-path", include)
        return refused("run", *given, "--results", tmp_path / "results", *extra)

    return call


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        (("--methods", "lorra"), "did you mean lora"),
        (("--tasks", "financial_sentimnt"), "did you mean financial_sentiment"),
        (("--budget", "5e12flobs"), "unknown budget unit"),
        (("--budget", "cheap"), "1e13flops"),
        (("--budget", "0flops"), "above zero"),
        (("--model", "no/such/model"), "neither a folder"),
        (("--device", "tpu"), "none of auto, cpu"),
        (("--seeds", "zero"), "whole numbers"),
        (("--workers", "0"), "at least 1"),
        (("--include-path", "/no/such/folder"), "not a folder"),
        (("--data-dir", "/no/such/folder"), "not a folder"),
        (("--no-such-flag",), "unrecognized"),
    ],
)
def test_a_wrong_flag_is_one_line(run, extra, says):
    assert says in run(*extra)


def test_unknown_command_and_matrix():
    assert "did you mean report" in refused("reprot")
    assert "those that ship: lima, public, quick" in refused("run", "quik.yaml")


def test_a_broken_matrix_names_file_and_line(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("tasks: [financial_sentiment]\nmethods: [majority\nseeds: [0]\n")
    assert f"{path}:3" in refused("run", path)
    path.write_text("tasks: [financial_sentiment]\nmethods: majority\nsedes: [0]\n")
    assert f"{path}:3" in (said := refused("run", path))
    assert "seeds" in said
    path.write_text("- just\n- a list\n")
    assert "expected a mapping" in refused("run", path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("training_split: train\n", ""), "no train split"),
        (("main_metric: acc", "main_metric: f9"), "unknown metric 'f9'"),
        (("kind: classification", "knid: classification"), "did you mean kind"),
        (("    version: 1\n", ""), "key 'version' is missing"),
        (("chance: 0.5", "chance: often"), "'chance'"),
        (("output_type: multiple_choice", "output_type: [multiple"), "broken YAML"),
        (("doc_to_text:", "doc_to_txet:"), "does not load"),
    ],
)
def test_a_broken_task_is_one_line(run, tmp_path, change, says):
    yaml = TASK.format(name="toy")
    assert change[0] in yaml
    include = write_task(tmp_path / "broken", yaml=yaml.replace(*change))
    assert says in run(include=include)


def test_an_empty_training_split_and_a_wrong_label(run, tmp_path):
    good = [{"text": "a", "label": "good"}, {"text": "b", "label": "bad"}]
    empty = write_task(tmp_path / "empty", rows={"train": [], "validation": good, "test": good})
    assert "toy" in run(include=empty)
    odd = write_task(tmp_path / "odd", rows={"train": good, "validation": good, "test": [*good, {"text": "c", "label": "ugly"}]})
    assert "document 2 of the test split has label 'ugly', which is none of: bad, good" in run(include=odd)


def test_a_setting_of_the_wrong_name_or_type(tmp_path, toy, tiny_model):
    path = tmp_path / "matrix.yaml"
    head = "tasks: [toy]\nmethods:\n  - name: lora\n    settings: {%s}\n"
    for setting, says in (("rnak: 8", "did you mean rank"), ("rank: many", "setting 'rank' of lora")):
        path.write_text(head % setting)
        said = refused("run", path, "--model", tiny_model, "--include-path", toy, "--results", tmp_path / "r")
        assert says in said
        assert f"{path}:3" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_results_folder(run, tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results").chmod(0o500)
    assert "cannot be written" in run()


def test_results_that_cannot_be_a_folder(run, tmp_path):
    (tmp_path / "results").write_text("a file stands here")
    assert "cannot be written" in run()


def test_report_of_a_folder_without_records(tmp_path):
    assert "not a results folder" in refused("report", tmp_path)


def test_a_method_file_that_is_missing_or_broken(run, tmp_path):
    assert "does not exist" in run(methods=f"{tmp_path}/none.py:Mine")
    broken = tmp_path / "mine.py"
    broken.write_text("class Mine(:\n    pass\n")
    assert f"{broken}:1" in run(methods=f"{broken}:Mine")


def test_help_and_listings_are_quick_to_start():
    began = time.perf_counter()
    done = tunebench("--help")
    assert done.returncode == 0
    assert "run" in done.stdout
    assert time.perf_counter() - began < 5  # a smoke test; the figure is in benchmarks/
    assert "financial_sentiment" in tunebench("tasks").stdout
    assert "lora" in tunebench("methods").stdout


def test_help_imports_nothing_heavy():
    code = "import sys, tunebench; tunebench.main(['--version'])"
    done = subprocess.run([sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, timeout=60)
    loaded = {line.split("|")[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert not loaded & {"torch", "transformers", "pydantic", "lm_eval", "pandas", "matplotlib", "numpy", "yaml"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("--methods", "nonsense"), "unknown method 'nonsense'"),
        (("--tasks", "financial_sentimnt"), "did you mean financial_sentiment"),
    ],
)
def test_a_plan_checks_names_before_any_model_is_there(tmp_path, given, says):
    empty = os.environ | {"TUNEBENCH_CACHE": str(tmp_path / "cache")}
    assert says in refused("plan", *given, env=empty)


def test_a_file_where_a_folder_is_expected_is_one_line(tmp_path, toy, tiny_model):
    given = ("--tasks", "toy", "--methods", "majority", "--model", tiny_model, "--include-path", toy)
    results = tmp_path / "results"
    assert tunebench("run", *given, "--results", results).returncode == 0
    for path in (results / "plots").iterdir():
        path.unlink()
    (results / "plots").rmdir()
    (results / "plots").write_text("in the way")
    assert "plots" in refused("report", results)
