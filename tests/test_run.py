"""The runner as its users meet it: real processes, a tiny model, a toy task."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import write_task

METHODS = "majority,tfidf,zero_shot,sft,lora"


class Bench:
    """`tunebench run` on the toy task in a folder of its own."""

    def __init__(self, folder: Path, model: Path, include: Path):
        self.results = folder / "results"
        self.base = ["--tasks", "toy", "--model", str(model), "--include-path", str(include), "--results", str(self.results)]

    def command(self, *extra: str, methods: str = METHODS, budget: str = "5e8flops") -> list[str]:
        return [sys.executable, "-m", "tunebench", "run", *self.base, "--methods", methods, "--budget", budget, *extra]

    def __call__(self, *extra: str, **options) -> subprocess.CompletedProcess:
        return subprocess.run(self.command(*extra, **options), capture_output=True, text=True, timeout=300)

    def start(self, *extra: str, **options) -> subprocess.Popen:
        return subprocess.Popen(
            self.command(*extra, **options),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # tests that run in the background of a shell inherit that interruptions are ignored
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def records(self) -> dict[str, dict]:
        found = [json.loads(p.read_text()) for p in self.results.glob("cells/*/record.json")]
        return {record["cell"]["method"]: record for record in found}

    def stamps(self) -> dict[str, int]:
        return {str(p): p.stat().st_mtime_ns for p in self.results.glob("cells/*/record.json")}


@pytest.fixture(scope="module")
def world(tmp_path_factory, tiny_model):
    """A finished run of five methods."""
    folder = tmp_path_factory.mktemp("run")
    cache = tmp_path_factory.getbasetemp() / "cache"
    cache.mkdir(exist_ok=True)
    os.environ["TUNEBENCH_CACHE"] = str(cache)
    bench = Bench(folder, tiny_model, write_task(folder / "tasks"))
    bench.first = bench()
    return bench


@pytest.fixture
def bench(tmp_path, tiny_model, toy):
    return Bench(tmp_path, tiny_model, toy)


def test_five_methods_run_and_are_reported(world):
    assert world.first.returncode == 0, world.first.stdout + world.first.stderr
    records = world.records()
    assert {name: record["status"] for name, record in records.items()} == dict.fromkeys(METHODS.split(","), "ok")
    assert (world.results / "report.md").stat().st_size > 1000
    assert "report:" in world.first.stdout


def test_a_record_says_what_it_must(world):
    record = world.records()["sft"]
    assert record["cell"]["budget"] == "5e8flops"
    assert 0 < record["spend"]["flops"] <= 5e8
    assert record["spend"]["seconds"] > 0
    assert record["spend"]["peak_memory_bytes"] > 10**7
    assert record["trainable_parameters"] > 1000
    assert {"low", "high", "value", "n"} <= record["metrics"]["acc"].keys()
    provenance = record["provenance"]
    assert {"command", "code_revision", "packages", "hardware", "model", "task"} <= provenance.keys()
    assert provenance["model"]["sha256"]
    assert provenance["hardware"]["threads"] >= 1
    assert record["inference"]["batches"]
    lines = [json.loads(line) for p in world.results.glob("cells/*sft*/samples.jsonl") for line in p.read_text().splitlines()]
    assert len(lines) == 12
    assert {"doc_id", "prompt", "prediction", "reference", "scores"} <= lines[0].keys()


def test_a_second_run_does_nothing_and_imports_no_torch_for_it(world):
    before = world.stamps()
    command = world.command(methods="majority,tfidf,zero_shot,sft,lora")
    code = "import sys, tunebench; status = tunebench.main(sys.argv[1:]); print('torch' in sys.modules); sys.exit(status)"
    again = subprocess.run([sys.executable, "-c", code, *command[3:]], capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    assert world.stamps() == before


def test_only_what_is_missing_runs(world):
    before = world.stamps()
    (folder,) = world.results.glob("cells/*tfidf*")
    (folder / "record.json").unlink()
    assert world().returncode == 0
    changed = {path for path, stamp in world.stamps().items() if before.get(path) != stamp}
    assert changed == {str(folder / "record.json")}


def test_damaged_and_foreign_records_are_set_aside_named_and_rerun(world):
    (cut,) = world.results.glob("cells/*majority*")
    (old,) = world.results.glob("cells/*zero_shot*")
    text = (cut / "record.json").read_text()
    (cut / "record.json").write_text(text[: len(text) // 2])
    (old / "record.json").write_text(json.dumps(json.loads((old / "record.json").read_text()) | {"schema_version": 99}))
    again = world()
    assert again.returncode == 0, again.stderr
    assert str(cut / "record.json") in again.stdout
    assert "schema version 99" in again.stdout
    assert (cut / "record.set-aside-1.json").exists()
    assert {record["status"] for record in world.records().values()} == {"ok"}


def test_other_training_data_retrains_and_another_metric_only_rescores(bench, toy):
    assert bench(methods="majority,sft").returncode == 0
    first, stamps = bench.records(), bench.stamps()
    yaml = toy / "toy" / "toy.yaml"
    yaml.write_text(yaml.read_text().replace("    higher_is_better: true", "    higher_is_better: true\n  - metric: mcc", 1))
    scored = bench(methods="majority,sft")
    assert scored.returncode == 0, scored.stderr
    second = bench.records()
    assert "mcc" in second["sft"]["metrics"]
    assert second["sft"]["keys"]["train"] == first["sft"]["keys"]["train"]
    assert second["sft"]["spend"] == first["sft"]["spend"]
    assert second["sft"]["provenance"]["rescored"]
    rows = json.loads((toy / "toy" / "rows.json").read_text())
    rows["train"] = rows["train"][:10]
    (toy / "toy" / "rows.json").write_text(json.dumps(rows))
    assert bench(methods="majority,sft").returncode == 0
    third = bench.records()
    assert third["sft"]["keys"]["train"] != second["sft"]["keys"]["train"]
    assert bench.stamps() != stamps


def test_the_same_command_from_nothing_gives_the_same_predictions(world, tmp_path, tiny_model):
    other = Bench(tmp_path, tiny_model, Path(world.base[world.base.index("--include-path") + 1]))
    assert other(methods="sft,lora").returncode == 0
    for name in ("sft", "lora"):
        (a,) = world.results.glob(f"cells/*-{name}-*/samples.jsonl")
        (b,) = other.results.glob(f"cells/*-{name}-*/samples.jsonl")
        assert a.read_bytes() == b.read_bytes()


def wait_for(process: subprocess.Popen, words: str, seconds: float = 120) -> str:
    seen = ""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        line = process.stdout.readline()
        seen += line
        if words in line:
            return seen
        if not line and process.poll() is not None:
            break
    raise AssertionError(f"never saw {words!r} in:\n{seen}\n{process.stderr.read()}")


def test_ctrl_c_ends_in_two_seconds_and_keeps_what_is_done(bench):
    process = bench.start("--workers", "1", methods="majority,sft", budget="60s")
    wait_for(process, "training")
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert time.monotonic() - began < 2
    assert process.returncode == 130, errors
    assert "interrupted" in errors
    assert list(bench.records()) == ["majority"]


def test_kill_9_leaves_no_orphan_and_nothing_half_written(bench):
    process = bench.start("--workers", "1", methods="majority,sft", budget="60s")
    wait_for(process, "training")
    children = _descendants(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(_alive(child) for child in children):
        time.sleep(0.1)
    assert not [child for child in children if _alive(child)]
    assert list(bench.records()) == ["majority"]
    stamps = bench.stamps()
    resumed = bench(methods="majority,sft", budget="2s")
    assert resumed.returncode == 0, resumed.stderr  # the lock died with its owner
    assert set(stamps) <= set(bench.stamps())


def test_a_killed_cell_is_one_failed_record_and_the_others_go_on(bench):
    process = bench.start("--workers", "1", methods="sft,majority", budget="60s")
    wait_for(process, "training")
    trainers = [pid for pid in _descendants(process.pid) if _cpu_seconds(pid) > 0.1 and not _descendants(pid)]
    os.kill(max(trainers, key=_started), signal.SIGKILL)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 1, out + errors
    records = bench.records()
    assert records["sft"]["status"] == "failed"
    assert "SIGKILL" in records["sft"]["reason"]
    assert records["majority"]["status"] == "ok"


def test_two_runs_on_one_folder_do_not_meet(bench):
    process = bench.start("--workers", "1", methods="sft", budget="20s")
    wait_for(process, "training")
    second = bench(methods="majority")
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=20)
    assert second.returncode == 2
    assert "another run" in second.stderr
    assert second.stderr.count("\n") == 1


def test_hidden_labels_are_predicted_and_left_unscored(tmp_path, tiny_model):
    rows = [{"text": f"number {i}", "label": ("bad", "good")[i % 2]} for i in range(12)]
    hidden = [{"text": row["text"], "label": None} for row in rows]
    include = write_task(tmp_path / "tasks", rows={"train": rows, "validation": rows, "test": hidden})
    bench = Bench(tmp_path, tiny_model, include)
    done = bench(methods="majority,zero_shot")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {record["status"] for record in bench.records().values()} == {"unscored"}
    lines = next(bench.results.glob("cells/*zero*/samples.jsonl")).read_text().splitlines()
    assert json.loads(lines[0])["reference"] is None
    assert json.loads(lines[0])["prediction"] in ("bad", "good")


def test_a_method_that_raises_is_a_failed_cell_with_a_log_and_no_secret(bench, tmp_path, monkeypatch):
    method = tmp_path / "broken.py"
    method.write_text(
        "import os\nfrom tunebench import Method\n\n"
        "class Broken(Method):\n    name = 'broken'\n    label = 'broken'\n    summary = 'fails'\n\n"
        "    def fit(self, work):\n        raise RuntimeError('no answer from ' + os.environ['SOME_API_KEY'])\n"
    )
    monkeypatch.setenv("SOME_API_KEY", "sk-very-secret-123")
    done = bench(methods=f"majority,{method}:Broken")
    assert done.returncode == 1
    record = next(r for name, r in bench.records().items() if "Broken" in name)
    assert record["status"] == "failed"
    assert "RuntimeError" in record["reason"]
    assert bench.records()["majority"]["status"] == "ok"
    written = [
        p.read_text(errors="replace") for p in bench.results.rglob("*") if p.is_file() and p.suffix in (".json", ".log", ".md")
    ]
    assert not any("sk-very-secret-123" in text for text in [*written, done.stdout, done.stderr])


def test_plan_says_what_is_cached_and_loads_no_model(world):
    command = world.command()
    command[command.index("run")] = "plan"
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "5 cells, 5 cached" in done.stdout


def _descendants(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            if int(entry.joinpath("stat").read_text().rsplit(")", 1)[1].split()[1]) == pid:
                child = int(entry.name)
                found += [child, *_descendants(child)]
    return found


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []


def _alive(pid: int) -> bool:
    stat = _stat(pid)
    return bool(stat) and stat[0] != "Z"


def _cpu_seconds(pid: int) -> float:
    stat = _stat(pid)
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK") if stat else 0.0


def _started(pid: int) -> int:
    stat = _stat(pid)
    return int(stat[19]) if stat else 0


def test_cells_run_under_any_executor_of_the_interface(tmp_path, tiny_model, toy):
    """The runner submits plain calls, so an engine for clusters fits the same seam."""
    from concurrent.futures import ThreadPoolExecutor

    from harness.display import Board
    from harness.hardware import Compute
    from harness.matrix import build_matrix
    from harness.resolve import resolve
    from harness.runner import run

    matrix = build_matrix({"tasks": ["toy"], "methods": ["majority", "tfidf"], "models": [str(tiny_model)], "seeds": [0]})
    results = tmp_path / "results"
    with Board(workers=1, description="") as board, ThreadPoolExecutor(1) as executor:
        counts = run(resolve(matrix, Compute(), results, [toy], None), results, board, executor)
    assert counts == {"ok": 2}
    assert len(list(results.glob("cells/*/record.json"))) == 2
