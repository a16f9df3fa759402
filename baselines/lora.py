"""LoRA (Hu et al. 2021): the model stays frozen, and small low-rank matrices beside its linear layers are trained."""

from __future__ import annotations

from pydantic import Field

from harness.method import Fitted, Method, Work
from harness.trainplan import SupervisedSettings


class LoraSettings(SupervisedSettings):
    learning_rate: float = Field(default=5e-4, gt=0)
    rank: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    """the update is scaled by alpha / rank"""


class Lora(Method):
    """LoRA on all linear layers of the blocks, through PEFT and TRL's SFTTrainer."""

    name = "lora"
    label = "LoRA"
    summary = "supervised fine-tuning of low-rank adapters on all linear layers"
    training_passes = 2.0
    engine = ("training", "trainplan", "lm", "decoding", "model", "forward", "flops", "budget")
    Settings = LoraSettings

    def fit(self, work: Work) -> Fitted:
        import torch
        from peft import LoraConfig, get_peft_model

        from harness.forward import freeze_linear_weights, load
        from harness.training import fit_supervised

        work.report(phase="loading")
        base = load(work.base, work.compute).requires_grad_(False)
        freeze_linear_weights(base, work.compute)
        torch.manual_seed(work.seed)  # the adapters' random half
        config = LoraConfig(
            r=self.settings.rank,
            lora_alpha=self.settings.alpha,
            lora_dropout=0.0,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
        return fit_supervised(work, get_peft_model(base, config, autocast_adapter_dtype=True), self.settings)
