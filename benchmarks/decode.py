"""Decoding 175 clinical snippets: ours beside transformers' ``generate()`` with its defaults, the same tuned model and machine.

    python benchmarks/decode.py [--budget 5e12flops] [--samples 175] [--rows 64]

Trains LoRA on `medical_ner` within the budget, then answers the first samples of its test split. ``generate()`` gets the same
number of rows at a time, padded on the left, in the data's order. Prints seconds, tokens and the ratio.
"""

from __future__ import annotations

import argparse
import time

import torch

from baselines.lora import Lora
from harness.budget import Budget, Meter
from harness.forward import autocast
from harness.hardware import choose_compute
from harness.lm import CausalLM
from harness.loading import load_task
from harness.method import Work
from harness.model import find_model
from harness.paths import shipped
from harness.task import quiet


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--budget", default="5e12flops")
    parser.add_argument("--samples", type=int, default=175)
    parser.add_argument("--rows", type=int, default=64)
    arguments = parser.parse_args()
    compute = choose_compute(workers=1)
    torch.set_num_threads(compute.threads)
    base = find_model("smollm2-135m-instruct")
    assert base is not None
    with quiet():
        task = load_task("medical_ner", [shipped("tasks")])
        work = Work(task, task.examples(None), Meter(Budget.parse(arguments.budget)), 0, compute, base, None)
        model = Lora().fit(work).lm.model
    requests = [request for sample in task.samples(None)[: arguments.samples] for request in sample.requests]
    lm = CausalLM(model, base.tokenizer(), compute, generated_rows=arguments.rows)
    lm.generate_until(requests[:2])  # warm up
    began, before = time.perf_counter(), lm.generated_tokens
    ours = lm.generate_until(requests)
    our_seconds, our_tokens = time.perf_counter() - began, lm.generated_tokens - before
    tokenizer, theirs, their_tokens = base.tokenizer(), [], 0
    began = time.perf_counter()
    for start in range(0, len(requests), arguments.rows):
        texts = [request.args[0] for request in requests[start : start + arguments.rows]]
        padded = tokenizer(texts, padding=True, padding_side="left", return_tensors="pt").to(compute.device)
        with torch.inference_mode(), autocast(compute):
            out = model.generate(
                **padded,
                max_new_tokens=requests[0].args[1]["max_gen_toks"],
                do_sample=False,
                pad_token_id=tokenizer.pad_token_id,
            )
        new = out[:, padded["input_ids"].shape[1] :]
        their_tokens += int((new != tokenizer.pad_token_id).sum())
        theirs += [text.split("\n")[0] for text in tokenizer.batch_decode(new, skip_special_tokens=True)]
    their_seconds = time.perf_counter() - began
    differ = sum(a != b for a, b in zip(ours, theirs, strict=True))
    print(f"{len(requests)} snippets, {compute.precision}, {arguments.rows} rows, LoRA after {arguments.budget}")
    print(f"tunebench            {our_seconds:6.1f} s  {our_tokens} tokens")
    print(f"generate(), defaults {their_seconds:6.1f} s  {their_tokens} tokens")
    print(f"generate() / tunebench: {their_seconds / our_seconds:.2f}x; {differ} of {len(ours)} answers differ")


if __name__ == "__main__":
    main()
