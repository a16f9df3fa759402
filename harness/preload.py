"""What the fork server imports once for all cells."""

import os

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import datasets  # noqa: F401
import lm_eval.api.task
import lm_eval.tasks  # noqa: F401
import peft  # noqa: F401
import torch  # noqa: F401
import transformers.models.llama.modeling_llama  # noqa: F401
import trl.trainer.sft_trainer  # noqa: F401

import harness.cell
import harness.training  # noqa: F401
