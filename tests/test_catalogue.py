"""lm-eval's own tasks by name, their data from a stand-in for the Hub; and what is said when the Hub fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.standin_hub import StandIn, standin_hub

WORDS = (
    "amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "iris", "juniper",
    "kelp", "lotus", "maple", "nettle", "onyx", "poppy", "quartz", "reed", "sage", "tulip",
)  # fmt: skip


def rows(make, count: int) -> list[dict]:
    return [make(WORDS[i % 20], WORDS[(i * 7 + 3) % 20], i) for i in range(count)]


def sciq(one, other, i):
    return {"support": f"{one} grows.", "question": f"What grows by {i}?", "distractor1": "sand", "distractor2": "salt",
            "distractor3": other + "s", "correct_answer": one}  # fmt: skip


def arc(one, other, i):
    choices = {"text": [one, other + "s", "tin"], "label": ["A", "B", "C"]}
    return {"question": f"Which is {i}?", "choices": choices, "answerKey": "A"}


def boolq(one, other, i):
    return {"passage": f"{one} {i}.", "question": f"is {one} {other}", "label": i % 2}


def piqa(one, other, i):
    return {"goal": f"Get {one} {i}", "sol1": one, "sol2": other, "label": i % 2}


def cb(one, other, i):
    return {"premise": f"{one} {i}", "hypothesis": other, "label": i % 3}


def gsm8k(one, other, i):
    return {"question": f"{one} and {i}?", "answer": f"Add.\n#### {i}"}


def nq_open(one, other, i):
    return {"question": f"who {one} {i}", "answer": [other]}


def winogrande(one, other, i):
    sentence = f"The {one} and the {other} {i}: the _ fell."
    return {"sentence": sentence, "option1": one, "option2": other + "s", "answer": str(1 + i % 2)}


#: (repository, configuration, splits, a row): the shape of each published set, made-up content
PUBLISHED = [
    ("allenai/sciq", "default", ("train", "validation", "test"), sciq),
    ("aps/super_glue", "boolq", ("train", "validation"), boolq),
    ("allenai/ai2_arc", "ARC-Easy", ("train", "validation", "test"), arc),
    ("baber/piqa", "default", ("train", "validation"), piqa),
    ("aps/super_glue", "cb", ("train", "validation"), cb),
    ("openai/gsm8k", "main", ("train", "test"), gsm8k),
    ("google-research-datasets/nq_open", "default", ("train", "validation"), nq_open),
    ("allenai/winogrande", "winogrande_xl", ("train", "validation"), winogrande),
]
TASKS = ("sciq", "boolq", "arc_easy", "piqa", "cb", "gsm8k", "nq_open", "winogrande")


@pytest.fixture
def hub(tmp_path):
    with standin_hub(tmp_path / "hub") as served:
        for repository, configuration, splits, make in PUBLISHED:
            counts = {"train": 24, "validation": 6, "test": 6}
            served.add(repository, {split: rows(make, counts[split]) for split in splits}, configuration)
        yield served


def tunebench(tmp_path: Path, endpoint: str, *words: str) -> subprocess.CompletedProcess:
    """The command in a process of its own: the Hub's client reads its endpoint once, on import."""
    home = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0", "HF_TOKEN": "hf_secretsecret"}
    command = [sys.executable, "-m", "tunebench", *words]
    return subprocess.run(command, env={**os.environ, **home}, capture_output=True, text=True, timeout=500)


def run(tmp_path: Path, hub: StandIn, model: Path, *words: str) -> subprocess.CompletedProcess:
    results = ["--model", str(model), "--budget", "2e9flops", "--results", str(tmp_path / "results")]
    return tunebench(tmp_path, hub.endpoint, "run", *results, *words)


def test_eight_of_lm_evals_own_tasks_run_by_name_with_no_file_written(tmp_path, hub, tiny_model):
    done = run(tmp_path, hub, tiny_model, "--tasks", ",".join(TASKS), "--methods", "zero_shot,lora", "--test-limit", "5")
    assert done.returncode == 0, done.stdout + done.stderr
    records = [json.loads(path.read_text()) for path in (tmp_path / "results").glob("cells/*/record.json")]
    assert {(r["cell"]["task"], r["cell"]["method"]) for r in records} == {(t, m) for t in TASKS for m in ("zero_shot", "lora")}
    assert {r["status"] for r in records} == {"ok"}
    assert all(r["metrics"][r["main_metric"]]["n"] == 5 for r in records)
    assert all(r["spend"]["examples"] > 0 for r in records if r["cell"]["method"] == "lora")
    kinds = {r["cell"]["task"]: r["task"]["kind"] for r in records}
    assert (kinds["cb"], kinds["sciq"], kinds["gsm8k"]) == ("classification", "multiple_choice", "generation")
    report = (tmp_path / "results" / "report.md").read_text()
    assert "task 'boolq': its validation split is what is tested on, so 2 of 24 training documents are set aside as one" in report
    assert "task 'gsm8k': it has no validation split, so 2 of 24 training documents are set aside as one" in report
    assert "task 'sciq': its" not in report


def test_settings_are_tried_on_what_was_set_aside_and_never_trained_on(tmp_path, hub, monkeypatch):
    copies = tmp_path / "hub"  # read as local copies, in this process
    from harness.loading import load_task

    task = load_task("boolq", [], copies)
    aside, train, test = ([doc["passage"] for doc in task.docs(split)] for split in ("validation", "train", "test"))
    assert (len(aside), len(train), len(test)) == (2, 22, 6)
    assert not set(aside) & set(train)
    assert [doc["passage"] for doc in load_task("boolq", [], copies).docs("validation")] == aside
    assert [sample.doc["passage"] for sample in task.samples(None, "validation")] == aside
    assert len(load_task("sciq", [], copies).docs("train")) == 24
    assert not hub.requests


def test_a_hub_that_fails_now_and_then_ends_in_a_line_and_what_was_fetched_is_kept(tmp_path, hub, tiny_model):
    hub.fail_every = 2
    tries = 0
    while (done := run(tmp_path, hub, tiny_model, "--tasks", "sciq", "--methods", "zero_shot")).returncode != 0 and tries < 8:
        tries += 1
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("tunebench: ")]
        assert "allenai/sciq" in line
        assert "the Hub answered 500" in line
        assert "--data-dir" in line
        hub.fail_every += 1
    assert done.returncode == 0
    fetched = [one for one in hub.requests if one.startswith("GET") and one.endswith("train.jsonl")]
    hub.fail_every = 0
    again = run(tmp_path, hub, tiny_model, "--tasks", "sciq", "--methods", "zero_shot", "--seeds", "1")
    assert again.returncode == 0
    assert [one for one in hub.requests if one.startswith("GET") and one.endswith("train.jsonl")] == fetched


def test_an_unknown_set_and_a_gated_one_are_told_apart_and_the_token_stays_secret(tmp_path, hub, tiny_model):
    unknown = run(tmp_path, hub, tiny_model, "--tasks", "openbookqa", "--methods", "zero_shot")
    assert (unknown.returncode, unknown.stderr.count("\n")) == (2, 1)
    assert "allenai/openbookqa cannot be had: the Hub has no such data set" in unknown.stderr
    hub.add("GAIR/lima", {"train": [{"conversations": ["q", "a"], "source": ""}]})
    hub.gated.add("GAIR/lima")
    gated = run(tmp_path, hub, tiny_model, "--tasks", "lima", "--methods", "zero_shot")
    assert (gated.returncode, gated.stderr.count("\n")) == (2, 1)
    assert (
        "GAIR/lima@68958e98267f5fb4a52a cannot be had: its owner lets only those read it who accepted its terms" in gated.stderr
    )
    assert "https://huggingface.co/datasets/GAIR/lima and set HF_TOKEN" in gated.stderr
    assert "hf_secretsecret" not in gated.stderr + unknown.stderr


def test_without_a_hub_a_line_says_so(tmp_path, tiny_model):
    words = ["run", "--tasks", "fiqa", "--methods", "zero_shot", "--model", str(tiny_model), "--results", str(tmp_path / "r")]
    offline = tunebench(tmp_path, "http://127.0.0.1:9", *words)
    assert (offline.returncode, offline.stderr.count("\n")) == (2, 1)
    assert "TheFinAI/fiqa-sentiment-classification@b669064ceb406dfc33a8 cannot be had: the Hub does not answer" in offline.stderr
    assert "put a copy of the repository into DIR/TheFinAI/fiqa-sentiment-classification" in offline.stderr
