"""Full supervised fine-tuning: every weight of the model is trained on the task's examples."""

from __future__ import annotations

from pydantic import Field

from harness.method import Fitted, Method, Work
from harness.trainplan import SupervisedSettings


class SftSettings(SupervisedSettings):
    learning_rate: float = Field(default=5e-5, gt=0)


class Sft(Method):
    """Full fine-tuning through TRL's SFTTrainer."""

    name = "sft"
    label = "full SFT"
    summary = "supervised fine-tuning of all weights"
    memory_share = 4.0  # weights, gradients and two moments
    engine = ("training", "trainplan", "lm", "decoding", "model", "forward", "flops", "budget")
    Settings = SftSettings

    def fit(self, work: Work) -> Fitted:
        from harness.forward import load
        from harness.training import fit_supervised

        work.report(phase="loading")
        return fit_supervised(work, load(work.base, work.compute), self.settings)
