"""Instructions in the report: what tuning changed, which kinds are obeyed, and the sizes of one task as one series."""

from __future__ import annotations

import math
from pathlib import Path

from harness.record import Metric
from tests.test_reports import add, report, run_json


def _line(number: int, obeyed: bool, nats: float) -> dict:
    constraint = {"id": "punctuation:no_comma", "strict": obeyed, "loose": obeyed}
    return {
        "doc_id": number,
        "prompt": "p",
        "text": "p",
        "prediction": "yes" if obeyed else "no, well",
        "reference": "yes",
        "constraints": [constraint],
        "reference_loglikelihood": -nats,
        "reference_tokens": 4,
        "scores": {"prompt_level_strict_acc": float(obeyed), "answer_words": 3.0},
    }


def _cell(root: Path, label: str, right: int, *, data: dict | None = None, seed: int = 0, nats: float = 8.0) -> dict:
    lines = [_line(i, i < right, nats) for i in range(20)]
    share = right / 20
    metrics = {
        "prompt_level_strict_acc": Metric(value=share, low=share - 0.1, high=share + 0.1, n=20),
        "reference_likelihood": Metric(value=math.exp(-nats / 4), low=0.01, high=0.9, n=20),
        "answer_words": Metric(value=3.0, n=20),
    }
    method = {"zero-shot": "zero_shot", "majority": "majority"}.get(label, "lora")
    return add(
        root,
        method,
        seed=seed,
        metrics=metrics,
        lines=lines,
        flops=9e11 if method == "lora" else 0.0,
        main_metric="prompt_level_strict_acc",
        confusion={},
        label=label,
        task={"kind": "instruction", "choices": [], "chance": 0},
        cell={"task": "orders", "data": data or {}, "settings": {} if label != "3 epochs" else {"epochs": 3}},
    ) | {"label": label}


def test_the_report_says_what_tuning_changed_and_which_kinds_are_obeyed(tmp_path):
    run_json(tmp_path, [_cell(tmp_path, "zero-shot", 4, nats=10.0), _cell(tmp_path, "LoRA", 14)])
    text = report(tmp_path)
    assert "| LoRA | +0.500 (" in text
    assert "| punctuation | 20 | 70 % | 20 % |" in text
    assert "### What tuning changed" in text


def test_sizes_of_one_task_become_one_series_with_its_picture(tmp_path):
    cells = [_cell(tmp_path, "majority", 3), _cell(tmp_path, "zero-shot", 5)]
    for label in ("3 epochs", "equal compute"):
        for answers, gain in (("curated", 4), ("careless", 0)):
            for size in (25, 100):
                for seed in (0, 1):
                    right = 6 + gain + size // 50 + seed
                    cells.append(_cell(tmp_path, label, right, data={"answers": answers, "size": size}, seed=seed))
    run_json(tmp_path, cells)
    text = report(tmp_path)
    assert "## Quality against quantity: orders" in text
    assert text.count("## ") == text.count("\n## ") + text.count("### ")
    assert "3 epochs, 100 curated against 100 careless answers: prompts obeyed +0.200 (+0.0" in text
    assert "3 epochs, 25 curated against 100 careless answers: prompts obeyed +0.100 (" in text
    assert "| equal compute | careless | 25 | 0.325 (" in text
    assert "| zero-shot | – | – | 0.250 (" in text
    assert "| majority | – | – | 0.150 (" in text
    assert "chance level" not in text.lower()  # what luck obeys is measured, not stated
    for kind in ("png", "svg"):
        assert (tmp_path / "plots" / f"orders-quantity.{kind}").stat().st_size > 5000
    assert "1. orders" not in text  # the series stands for its groups


def test_a_lone_size_is_an_ordinary_group(tmp_path):
    run_json(tmp_path, [_cell(tmp_path, "LoRA", 8, data={"answers": "curated", "size": 25})])
    text = report(tmp_path)
    assert "orders (curated, 25)" in text
    assert "Quality against quantity" not in text
