"""FLOPs counted analytically, per *real* position: padding is wasted time, not spent budget.

A multiply-add is two FLOPs. Per position, a forward pass costs 2 x (elements of the 2-D weights in the blocks), plus the
attention products (2 x 2 x keys x attention width, layer by layer), plus 2 x (elements of the output head) where logits
are computed. Backward through activations costs the same again, and so do the gradients of trained weights
(Kaplan et al. 2020, section 2.1; the count is tested against ``torch.utils.flop_counter`` on eager attention).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class CostModel:
    """FLOPs of one model, as a function of lengths. Element counts, not bytes."""

    block_weights: int
    """elements of the frozen or fully trained 2-D weights in the blocks (adapters excluded)"""
    head_weights: int
    """elements of the output head"""
    adapter_weights: int
    """elements of trained low-rank matrices beside the block weights"""
    attention_width: int
    """sum over layers of heads x head dimension"""
    trains_all: bool
    """whether gradients of the block weights (and of the head) are computed"""
    skipped_backward: int = 0
    """elements of block weights whose input needs no gradient (those that read the embeddings, under adapters)"""

    def forward(self, positions: int, *, keys: float | None = None, logits: int = 0) -> float:
        """FLOPs of a forward pass over `positions` new positions, each attending to `keys` (default: all of them),
        with the head applied at `logits` positions. Full attention is charged, as the eager kernel computes it."""
        keys = positions if keys is None else keys
        dense = 2.0 * (self.block_weights + self.adapter_weights) * positions
        return dense + 4.0 * self.attention_width * positions * keys + 2.0 * self.head_weights * logits

    def train(self, positions: int, *, logits: int) -> float:
        """FLOPs of forward and backward on one sequence with `logits` supervised positions."""
        attention = 4.0 * self.attention_width * positions * positions
        if self.trains_all:
            return 3 * (2.0 * self.block_weights * positions + attention + 2.0 * self.head_weights * logits)
        frozen = 2.0 * (2 * self.block_weights - self.skipped_backward) * positions
        return frozen + 3 * attention + 3 * 2.0 * self.adapter_weights * positions + 2 * 2.0 * self.head_weights * logits

    def generate(self, prompt: int, new: int, *, shared: int = 0) -> float:
        """FLOPs of decoding `new` tokens after `prompt` positions with a KV cache and one row of logits a step. The first
        `shared` positions are in the cache already."""
        if new <= 0:
            return 0.0
        total = self.forward(prompt - shared, keys=prompt, logits=1)
        steps = new - 1  # the first token comes from the prompt's pass
        mean_keys = prompt + (steps + 1) / 2
        return total + steps * self.forward(1, keys=mean_keys, logits=1)


def cost_model(model: nn.Module) -> CostModel:
    """The cost model of a causal language model, plain or wrapped by PEFT; weights may be on the meta device.

    Counts every 2-D weight of a linear (or GPT-2 style Conv1D) module outside the output head, so any decoder
    that is made of them is right without naming its architecture. Mixtures of experts are charged as if dense.
    """
    base: Any = model.get_base_model() if hasattr(model, "get_base_model") else model
    head = base.get_output_embeddings()
    block = adapter = 0
    trains_all = False
    for name, module in _products(base, head):
        if "lora_" in name:
            adapter += module.weight.numel()
            continue
        block += module.weight.numel()
        trains_all = trains_all or module.weight.requires_grad
    config = base.config.get_text_config()
    heads = config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    return CostModel(
        block_weights=block,
        head_weights=head.weight.numel(),
        adapter_weights=adapter,
        attention_width=config.num_hidden_layers * heads * head_dim,
        trains_all=trains_all,
        skipped_backward=0 if trains_all or not adapter else _without_input_gradient(model, base, head),
    )


def _products(base: Any, head: Any) -> list[tuple[str, Any]]:
    """The modules whose forward pass is a matrix product, by name, the output head left out."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    return [(n, m) for n, m in base.named_modules() if isinstance(m, (nn.Linear, Conv1D)) and m is not head]


def _without_input_gradient(model: nn.Module, base: Any, head: Any) -> int:
    """Elements of frozen weights that backward need not pass through, found by asking: one token is run, and each product
    looks whether its input carries a gradient."""
    import torch

    skipped = 0

    def look(module: Any, inputs: tuple) -> None:
        nonlocal skipped
        if not inputs[0].requires_grad:
            skipped += module.weight.numel()

    device = head.weight.device.type
    rounded = device != "meta" and any(m.weight.dtype == torch.bfloat16 for _, m in _products(base, head))
    hooks = [m.register_forward_pre_hook(look) for n, m in _products(base, head) if "lora_" not in n]
    try:
        with torch.enable_grad(), torch.autocast(device, torch.bfloat16) if rounded else contextlib.nullcontext():
            ones = torch.ones((1, 1), dtype=torch.long, device=head.weight.device)
            model(input_ids=ones, attention_mask=ones, use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return skipped
