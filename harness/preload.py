"""What the fork server imports once for all cells."""

import os

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import datasets  # noqa: E402, F401
import lm_eval.api.task  # noqa: E402, F401
import lm_eval.tasks  # noqa: E402, F401
import peft  # noqa: E402, F401
import torch  # noqa: E402, F401
import transformers.models.llama.modeling_llama  # noqa: E402, F401
import trl.trainer.sft_trainer  # noqa: E402, F401

import harness.cell  # noqa: E402, F401
import harness.training  # noqa: E402, F401
