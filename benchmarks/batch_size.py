"""How much predictions move with the batch size: none in fp32, a measured share under bf16.

    python benchmarks/batch_size.py [--budget 2e12flops] [--untuned]

Scores the whole test split of financial_sentiment with 1 and with 32 rows at once, by the untuned model and by one that was
tuned with LoRA on the given budget, in fp32 and in bf16 where the processor has it.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import torch
from peft import LoraConfig, get_peft_model

from harness.budget import Budget, Meter
from harness.forward import freeze_linear_weights, load
from harness.hardware import Compute, choose_compute
from harness.lm import CausalLM
from harness.loading import load_task
from harness.model import find_model
from harness.paths import shipped
from harness.task import Task
from harness.training import SupervisedSettings, train_supervised
from harness.trainplan import encode


def choices(model: object, tokenizer: object, compute: Compute, task: Task, rows: int) -> list[int]:
    samples = task.samples(None)
    lm = CausalLM(model, tokenizer, compute, batch_rows=rows)
    answers = iter(lm.loglikelihood([request for sample in samples for request in sample.requests], disable_tqdm=True))
    scores = [[next(answers)[0] for _ in sample.requests] for sample in samples]
    return [max(range(len(row)), key=row.__getitem__) for row in scores]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--budget", default="2e12flops")
    parser.add_argument("--untuned", action="store_true", help="the untuned model only")
    arguments = parser.parse_args()
    base = find_model("smollm2-135m-instruct")
    assert base is not None
    task = load_task("financial_sentiment", [shipped("tasks")])
    native = choose_compute()
    torch.set_num_threads(native.threads)
    for precision in dict.fromkeys(["fp32", native.precision]):
        compute = replace(native, precision=precision)
        for tuned in (False,) if arguments.untuned else (False, True):
            model = load(base, compute).requires_grad_(False)
            freeze_linear_weights(model, compute)
            if tuned:
                torch.manual_seed(0)
                model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"))
                pairs = encode(task.examples(None), base.tokenizer(), 8192)
                settings = SupervisedSettings(learning_rate=1e-3)
                train_supervised(model, pairs, base.tokenizer(), settings, Meter(Budget.parse(arguments.budget)), compute, seed=0)
            one, many = (choices(model, base.tokenizer(), compute, task, rows) for rows in (1, 32))
            differ = sum(a != b for a, b in zip(one, many, strict=True))
            name = f"LoRA, {arguments.budget}" if tuned else "untuned"
            share = f"{differ} of {len(one)} predictions differ between 1 and 32 rows ({differ / len(one):.2%})"
            print(f"{precision}  {name:24} {share}")


if __name__ == "__main__":
    main()
