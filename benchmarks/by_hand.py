"""The same work by hand: one full fine-tuning and its evaluation with TRL's and lm-eval's own commands, timed beside ours.

    python benchmarks/by_hand.py [--budget 5e12flops] [--rounds 1]

Each round runs, one after another and each from its own process start: ours (``tunebench run``, which also scores with
intervals and writes the report), theirs with their defaults (only what must be said is said), and theirs with well-chosen
settings for a CPU. The same training examples, the same test samples, the same machine. Prints seconds and both ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness.budget import Budget, Meter
from harness.flops import cost_model
from harness.forward import skeleton
from harness.loading import load_task
from harness.model import find_model
from harness.paths import shipped
from harness.trainplan import encode, make_plan

TASK = "financial_sentiment"
BIN = Path(sys.executable).parent
#: what a careful user would say on a CPU: no recomputation, bf16 where the processor has it, batches in evaluation
CHOSEN_TRAINING = ["--gradient_checkpointing", "False", "--bf16", "True", "--dataloader_pin_memory", "False"]
CHOSEN_EVALUATION = ["--batch_size", "16"]
CHOSEN_MODEL = ",dtype=bfloat16"


def write_examples(folder: Path, budget: str) -> tuple[Path, str, int]:
    """The examples that our cell trains on (seed 0), as a prompt-completion data set for TRL."""
    base = find_model("smollm2-135m-instruct")
    assert base is not None
    examples = load_task(TASK, [shipped("tasks")]).examples(None)
    encoded = encode(examples, base.tokenizer(), 8192)
    plan = make_plan(encoded, cost_model(skeleton(base)), Meter(Budget.parse(budget)), 16, seed=0)
    data = folder / "data"
    data.mkdir()
    with (data / "train.jsonl").open("w", encoding="utf-8") as stream:
        for index in (i for batch in plan.batches for i in batch):
            row = {"prompt": examples[index].prompt, "completion": examples[index].completion}
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    return data, base.folder, plan.examples


def timed(name: str, *commands: list[str]) -> float:
    began = time.perf_counter()
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"TQDM_DISABLE": "1"})
        if done.returncode:
            raise SystemExit(f"{name} failed: {' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}")
    seconds = time.perf_counter() - began
    print(f"{name:24} {seconds:7.1f} s", flush=True)
    return seconds


def theirs(folder: Path, data: Path, model: str, rate: str, train: list[str], evaluate: list[str], more: str) -> list[list[str]]:
    out = folder / f"model-{len(train)}-{time.monotonic_ns()}"
    trl = [str(BIN / "trl"), "sft", "--model_name_or_path", model, "--dataset_name", str(data), "--output_dir", str(out)]
    trl += ["--num_train_epochs", "1", "--learning_rate", rate, "--report_to", "none", "--use_cpu", "True", *train]
    lm_eval = [str(BIN / "lm_eval"), "--model", "hf", "--model_args", f"pretrained={out}{more}", "--tasks", TASK]
    lm_eval += ["--include_path", str(shipped("tasks") / TASK), "--device", "cpu", *evaluate]
    return [trl, lm_eval]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--budget", default="5e12flops")
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, model, count = write_examples(folder, arguments.budget)
        print(f"{count} training examples, the whole test split of {TASK}")
        for number in range(arguments.rounds):
            results = folder / f"results-{number}"
            ours = [str(BIN / "tunebench"), "run", "--tasks", TASK, "--methods", "sft", "--budget", arguments.budget]
            rate = "5e-5"
            row = {
                "ours": timed("tunebench", [*ours, "--results", str(results)]),
                "defaults": timed("by hand, defaults", *theirs(folder, data, model, rate, [], [], "")),
                "chosen": timed(
                    "by hand, well chosen", *theirs(folder, data, model, rate, CHOSEN_TRAINING, CHOSEN_EVALUATION, CHOSEN_MODEL)
                ),
            }
            rows.append(row)
    for key in ("defaults", "chosen"):
        ratios = [row[key] / row["ours"] for row in rows]
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"by hand ({key}) / tunebench: {statistics.median(ratios):.2f}x  (each round: {each})")


if __name__ == "__main__":
    main()
