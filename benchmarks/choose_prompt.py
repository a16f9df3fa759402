"""Choose a task's prompt, and whether it uses the chat template, on validation data for the untuned model's good.

    python benchmarks/choose_prompt.py benchmarks/prompts/financial_sentiment.yaml docs/search/financial_sentiment_prompt.json

The first argument lists the candidates (overrides of the task's YAML); the second receives every score.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import yaml

from harness.cell import predict
from harness.forward import load, ready_to_answer
from harness.hardware import choose_compute
from harness.lm import CausalLM
from harness.loading import load_task
from harness.model import chat_template, describe, find_model
from harness.paths import task_folders
from harness.score import score
from harness.taskfiles import find_task_file


def main(candidates_file: str, out: str) -> None:
    listed = yaml.safe_load(Path(candidates_file).read_text(encoding="utf-8"))
    file = find_task_file(listed["task"], task_folders([]))
    assert file is not None
    compute = choose_compute()
    base = find_model("smollm2-135m-instruct")
    assert base is not None
    model = ready_to_answer(load(base, compute), compute)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for number, candidate in enumerate(listed["candidates"]):
            for chat in (False, True):
                name = f"candidate_{number}_{'chat' if chat else 'plain'}"
                metadata = json.loads(json.dumps(file.config["metadata"]))
                metadata["tunebench"]["chat_template"] = chat
                path = Path(folder, f"{name}.yaml")
                path.write_text(yaml.safe_dump({"include": str(file.path), "task": name, "metadata": metadata} | candidate))
                task = load_task(name, [Path(folder)])
                samples = task.samples(chat_template(base.tokenizer()) if chat else None, "validation")
                lm = CausalLM(model, base.tokenizer(), compute)
                metrics, _ = score(task, samples, predict(task, samples, lm))
                value = metrics[task.meta.main_metric].value
                tokens = sum(len(lm.tok_encode(sample.prompt)) for sample in samples) / len(samples)
                others = {name: metrics[name].value for name in ("invalid_rate", "hallucination_rate") if name in metrics}
                rows.append(
                    {"chat_template": chat, "score": value, **others, "mean_prompt_tokens": round(tokens, 1), **candidate}
                )
                print(f"{value:.4f}  {tokens:6.1f} tokens  chat={chat!s:5}  {others} {candidate}", flush=True)
    rows.sort(key=lambda row: -row["score"])
    said = {
        "task": listed["task"],
        "split": "validation",
        "metric": file.config["metadata"]["tunebench"]["main_metric"],
        "command": f"python benchmarks/choose_prompt.py {candidates_file} {out}",
        "model": describe(base),
        "compute": compute.as_dict(),
        "candidates": rows,
    }
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    Path(out).write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
