"""What the fork server imports once for all cells."""

import importlib
import os
import signal

signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interruption is the parent's to deal with, also while this imports
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

for _name in (
    "datasets",
    "torch",
    "transformers.models.llama.modeling_llama",
    "peft",
    "trl.trainer.sft_trainer",
    "lm_eval.tasks",
    "harness.cell",
    "harness.training",
    "harness.score",
):
    importlib.import_module(_name)
