"""The base model shown examples with their answers before each prompt: nothing is trained."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from harness.method import CannotDo, Fitted, Method, Settings, Work
from harness.task import Example


class FewShotSettings(Settings):
    examples: int = Field(default=8, ge=1, le=256)
    """how many are shown, where context and budget allow"""
    choice: Literal["random", "balanced", "nearest"] = "balanced"
    """random: drawn from the training split; balanced: drawn in turn from the labels (random, where there are no fixed ones);
    nearest: for each prompt those whose text is most like it (cosine of TF-IDF), the nearest last"""


class FewShot(Method):
    """Show training pairs before each prompt, as turns of the chat where the task has one.

    Examples that are the same for every prompt are read once: that pass is charged to the budget, which so bounds how many
    there are. What they cost at every answer stands under inference.
    """

    name = "few_shot"
    label = "few-shot"
    summary = "the untuned model, shown examples with their answers before each prompt"
    training_passes = 0.0
    engine = ("lm", "decoding", "model", "forward", "flops", "budget")
    Settings = FewShotSettings

    def fit(self, work: Work) -> Fitted:
        from harness.forward import load, ready_to_answer
        from harness.lm import CausalLM

        lm = CausalLM(ready_to_answer(load(work.base, work.compute), work.compute), work.tokenizer, work.compute)
        settings, pool = self.settings, work.examples
        if settings.choice == "nearest":
            lm.rewrite = _Before(lm, work, _nearest(pool, settings.examples)).rewrite
            said = f"before each prompt the {min(settings.examples, len(pool))} training examples most like it are shown"
            return Fitted(lm, notes=[said])
        before = _Before(lm, work, lambda _: shown)
        shown = _draw(pool, settings.choice, settings.examples, work.seed)
        longest = max(len(lm.tok_encode(one.prompt + one.completion)) for one in pool)
        work.budget_meter.start()
        while shown:  # as many as the budget can read, and the context has room for beside the longest training pair
            tokens = len(lm.tok_encode(before.text(shown)))
            flops = lm.costs.forward(tokens)
            if tokens + longest <= lm.max_length and work.budget_meter.affords(flops=flops, tokens=tokens):
                work.budget_meter.charge(flops=flops, tokens=tokens, examples=len(shown))
                break
            shown = shown[:-1]
        work.budget_meter.stop()
        if not shown:
            raise CannotDo("not one training example fits in budget and context; raise the budget, or take zero_shot")
        lm.rewrite = before.rewrite
        said = f"{len(shown)} training examples ({settings.choice}) are shown before each prompt, {tokens} tokens"
        return Fitted(lm, examples=len(shown), epochs=len(shown) / len(pool), notes=[said])


def _draw(pool: Sequence[Example], choice: str, count: int, seed: int) -> list[Example]:
    """`count` examples in a random order; balanced ones in turn from each label."""
    order = random.Random(seed).sample(list(pool), len(pool))
    if choice == "random" or any(one.ends for one in pool):
        return order[:count]
    by_label: dict[str, list[Example]] = {}
    for one in order:
        by_label.setdefault(one.label, []).append(one)
    turns = [group[turn] for turn in range(max(map(len, by_label.values()))) for group in by_label.values() if turn < len(group)]
    return turns[:count]


def _nearest(pool: Sequence[Example], count: int) -> Callable[[str], list[Example]]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    reader = TfidfVectorizer(sublinear_tf=True)
    known = reader.fit_transform([one.text for one in pool])

    def pick(text: str) -> list[Example]:
        likeness = (known @ reader.transform([text]).T).toarray().ravel()
        return [pool[place] for place in likeness.argsort(kind="stable")[-count:]]

    return pick


class _Before:
    """Puts examples before prompts. `pick` chooses them by the prompt's own text."""

    def __init__(self, lm: Any, work: Work, pick: Callable[[str], list[Example]]) -> None:
        self.lm, self.task, self.template, self.pick = lm, work.task, work.chat_template, pick

    def text(self, examples: Sequence[Example], prompt: str = "", context: str = "") -> str:
        """The examples as they were rendered, then the context; in a chat, each as two turns before the prompt's."""
        if self.template is None:
            gap = self.task.config.fewshot_delimiter
            return "".join(f"{one.prompt}{one.completion}{gap}" for one in examples) + context
        turns = [{"role": role, "content": said} for one in examples for role, said in _turns(one)]
        return self.template([*turns, {"role": "user", "content": prompt}])

    def rewrite(self, request: Any) -> Any:
        """The same request with examples before its prompt; where the context is too short, without the first of them."""
        context, asked = request.args
        prompt = self.task.text(request.doc)
        needed = int(asked.get("max_gen_toks", 256)) if isinstance(asked, dict) else len(self.lm.tok_encode(asked))
        shown = self.pick(prompt)
        while shown:
            whole = self.text(shown, prompt, context)
            if len(self.lm.tok_encode(whole)) + needed <= self.lm.max_length:
                return replace(request, arguments=(whole, asked))
            shown = shown[1:]
        return request


def _turns(example: Example) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("user", example.text), ("assistant", example.label)
