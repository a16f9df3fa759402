"""Draw the `self` answers of `instruction_following`: the untuned model answers the training prompts itself.

    python benchmarks/sample_self.py [OUT]

One answer a prompt: temperature 0.7, top-p 0.95, at most 160 new tokens. An answer that has not ended by then is drawn again,
up to eight times, and the last one then cut behind its last whole sentence, so that these answers differ from the written ones
in quality and not in being cut off. Seeded by the round and the prompts; another processor or version of torch may draw other
answers, which is why the file itself is bundled and hashed. Answers that OUT has already for the same prompt are kept.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import torch

from harness.constraints import sentences
from harness.forward import autocast, load, ready_to_answer
from harness.hardware import choose_compute
from harness.matrix import DEFAULT_MODEL
from harness.model import chat_template, find_model
from harness.paths import shipped
from harness.record import atomic_write

ROUNDS, ROWS, LONGEST = 8, 32, 160


def main(out: Path) -> None:
    rows = [json.loads(line) for line in (shipped("tasks") / "instruction_following" / "train.jsonl").read_text().splitlines()]
    prompts = {row["id"]: row["prompt"] for row in rows}
    known = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    answers = {row["id"]: row["response"] for row in known if prompts.get(row["id"]) == row["prompt"]}
    compute = choose_compute()
    base = find_model(DEFAULT_MODEL)
    assert base is not None
    tokenizer = base.tokenizer()
    tokenizer.padding_side = "left"
    render = chat_template(tokenizer)
    model = ready_to_answer(load(base, compute), compute)
    last: dict[str, str] = {}
    for number in range(ROUNDS):
        open_ids = sorted((i for i in prompts if i not in answers), key=lambda i: (len(prompts[i]), i))
        for start in range(0, len(open_ids), ROWS):
            batch = open_ids[start : start + ROWS]
            seed = hashlib.sha256(json.dumps([number, *(prompts[i] for i in batch)]).encode()).digest()
            torch.manual_seed(int.from_bytes(seed[:4], "big"))
            texts = [render([{"role": "user", "content": prompts[i]}]) for i in batch]
            encoded = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False).to(compute.device)
            with torch.inference_mode(), autocast(compute):
                made = model.generate(**encoded, do_sample=True, temperature=0.7, top_p=0.95, max_new_tokens=LONGEST)
            for i, ids in zip(batch, made[:, encoded["input_ids"].shape[1] :].tolist(), strict=True):
                text = tokenizer.decode(ids, skip_special_tokens=True).strip()
                if text and tokenizer.eos_token_id in ids:
                    answers[i] = text
                last[i] = text or last.get(i, "")
        print(f"round {number + 1}: {len(answers)} of {len(prompts)} answers have ended", flush=True)
    for i in prompts.keys() - answers.keys():
        whole = sentences(last[i])[:-1]
        answers[i] = last[i][: last[i].rindex(whole[-1]) + len(whole[-1])] if whole else last[i]
    lines = [json.dumps({"id": i, "prompt": prompts[i], "response": answers[i]}, ensure_ascii=False) for i in prompts]
    atomic_write(out, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else shipped("tasks") / "instruction_following" / "self.jsonl")
