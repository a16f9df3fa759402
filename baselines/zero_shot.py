"""The base model as it is: the prompt alone."""

from __future__ import annotations

from harness.method import Fitted, Method, Work


class ZeroShot(Method):
    """Ask the untuned model."""

    name = "zero_shot"
    label = "zero-shot"
    summary = "the untuned model, asked with the task's prompt"
    trains = False
    engine = ("lm", "decoding", "model", "forward", "flops")

    def fit(self, work: Work) -> Fitted:
        from harness.forward import load, ready_to_answer
        from harness.lm import CausalLM

        model = ready_to_answer(load(work.base, work.compute), work.compute)
        return Fitted(CausalLM(model, work.tokenizer, work.compute))
