"""The base model as it is: the prompt alone."""

from __future__ import annotations

from harness.method import Fitted, Method, Work


class ZeroShot(Method):
    """Ask the untuned model."""

    name = "zero_shot"
    label = "zero-shot"
    summary = "the untuned model, asked with the task's prompt"
    trains = False
    engine = ("lm", "model", "forward", "flops")

    def fit(self, work: Work) -> Fitted:
        from harness.forward import freeze_linear_weights, load
        from harness.lm import CausalLM

        model = load(work.base, work.compute).requires_grad_(False)
        freeze_linear_weights(model, work.compute)
        return Fitted(CausalLM(model, work.tokenizer, work.compute))
