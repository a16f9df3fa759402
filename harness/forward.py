"""Running a model: loaded, under autocast, with its head where it is wanted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from harness.hardware import Compute
from harness.model import BaseModel


def load(model: BaseModel, compute: Compute) -> Any:
    """The base model in fp32 on the device, in evaluation mode. Reading the cache takes about a second."""
    import torch
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(
        model.folder,
        dtype=torch.float32,
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
        attn_implementation="sdpa",
    )
    return loaded.to(compute.device).eval()


def skeleton(model: BaseModel) -> Any:
    """The architecture on the meta device: shapes without weights, for counting."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(model.folder, local_files_only=True, trust_remote_code=False)
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, attn_implementation="eager")  # others look at values


def autocast(compute: Compute) -> contextlib.AbstractContextManager:
    """bf16 autocast where the run's precision asks for it."""
    import torch

    if compute.precision == "bf16":
        return torch.autocast(compute.device, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def freeze_linear_weights(model: Any, compute: Compute) -> None:
    """Store frozen linear weights in bf16 under bf16 autocast: the values that autocast would round them to at every
    use, so results are unchanged and the conversion is paid once. Tied embeddings and trained weights stay fp32."""
    import torch
    from torch import nn

    if compute.precision != "bf16":
        return
    tied = {module.weight.data_ptr() for module in model.modules() if isinstance(module, nn.Embedding)}
    for module in model.modules():
        if not isinstance(module, nn.Linear) or module.weight.requires_grad:
            continue
        if module.weight.data_ptr() not in tied:
            module.weight.data = module.weight.data.to(torch.bfloat16)


def ready_to_answer(model: Any, compute: Compute) -> Any:
    """Training is over: nothing requires gradients any more, and under bf16 autocast every linear weight is stored rounded
    as autocast would round it, adapters and the output head (which gets weights of its own where it shares the
    embeddings') included. Answers are unchanged, and come faster. Returns the model."""
    import torch
    from torch import nn

    model.requires_grad_(False)
    freeze_linear_weights(model, compute)
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    head = base.get_output_embeddings()
    if compute.precision == "bf16" and isinstance(head, nn.Linear) and head.weight.dtype != torch.bfloat16:
        head.weight = nn.Parameter(head.weight.data.to(torch.bfloat16), requires_grad=False)
    return model


@contextlib.contextmanager
def head_at(model: Any, positions: Any) -> Iterator[None]:
    """Within this block the output head is applied only where `positions` (bool, batch x length) is true, so
    ``model(...).logits`` has shape (true positions, vocabulary), in row order. Works for any architecture."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    hook = base.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: (inputs[0][positions], *inputs[1:]))
    try:
        yield
    finally:
        hook.remove()
