"""Greedy decoding of a batch: keys and values written in place, finished rows dropped, logits for the last position only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

from harness.forward import head_at

#: rows are dropped when at least this share of those still computed has finished: each drop copies the cache of the others
_DROP = 0.2


class _RoomyLayer(DynamicLayer):
    """A cache layer with room for what is still to come: a step writes into it instead of copying all that came before
    (transformers' own dynamic layer concatenates; its static one attends to the empty part, too)."""

    def __init__(self, room: int, dtype: torch.dtype | None) -> None:
        super().__init__()
        self.room, self.kept_as, self.length = room, dtype, 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.dtype, self.device = self.kept_as or key_states.dtype, key_states.device
        self.buffers = [
            torch.empty((*states.shape[:-2], self.room, states.shape[-1]), dtype=self.dtype, device=self.device)
            for states in (key_states, value_states)
        ]
        self.is_initialized = True

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> tuple:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, self.length = self.length, self.length + key_states.shape[-2]
        for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[..., start : self.length, :] = states
        self.keys, self.values = (buffer[..., : self.length, :] for buffer in self.buffers)
        return self.keys, self.values

    def batch_repeat_interleave(self, repeats: int) -> None:
        self.buffers = [buffer.repeat_interleave(repeats, dim=0) for buffer in self.buffers]
        self.keys, self.values = (buffer[..., : self.length, :] for buffer in self.buffers)

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        self.buffers = [buffer[indices] for buffer in self.buffers]
        self.keys, self.values = (buffer[..., : self.length, :] for buffer in self.buffers)


def _cache(model: Any, room: int) -> DynamicCache:
    """transformers' cache for this model, its plain layers replaced by roomy ones (sliding windows stay as they are)."""
    cache = DynamicCache(config=model.config)
    device = next(model.parameters()).device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    cache.layers = [_RoomyLayer(room, dtype) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def shared_prefix(model: Any, prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with that are computed once: at least one of each left out, none where there is one
    prompt, and none where a layer attends through a sliding window (what is padded behind the prefix would widen it)."""
    plain = all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)
    if len(prompts) < 2 or not plain:
        return 0
    least, greatest = min(map(list, prompts)), max(map(list, prompts))  # in lexical order: what these two share, all do
    most = min(map(len, prompts)) - 1
    return next((place for place in range(most) if least[place] != greatest[place]), most)


def greedy(
    model: Any, prompts: Sequence[Sequence[int]], most: int, ends: Callable[[int, list[int]], bool], pad: int
) -> list[list[int]]:
    """The likeliest continuation of each prompt (token ids), of at most `most` tokens. A row is finished after the token for
    which ``ends(row, its new tokens)`` is true; that token is the row's last. What all prompts begin with is computed once;
    behind it prompts are padded on the left."""
    device = next(model.parameters()).device
    shared = shared_prefix(model, prompts)
    longest = max(map(len, prompts))
    ids = torch.full((len(prompts), longest - shared), pad, dtype=torch.long)
    seen = torch.zeros((len(prompts), longest + most), dtype=torch.long)
    seen[:, :shared] = 1
    for number, prompt in enumerate(prompts):
        ids[number, longest - len(prompt) :] = torch.tensor(prompt[shared:])
        seen[number, shared + longest - len(prompt) :] = 1
    seen = seen.to(device)
    cache = _cache(model, longest + most)
    if shared:
        first = torch.tensor([prompts[0][:shared]], device=device)
        with head_at(model, torch.zeros_like(first, dtype=torch.bool)):
            model(input_ids=first, past_key_values=cache, use_cache=True)
        cache.batch_repeat_interleave(len(prompts))
    rows = list(range(len(prompts)))  # those still computed, by their place in the batch
    made: list[list[int]] = [[] for _ in prompts]
    finished = [False] * len(prompts)
    positions = (seen[:, :longest].cumsum(-1) - 1).clamp(min=0)[:, shared:]
    last = torch.zeros(ids.shape, dtype=torch.bool, device=device)
    last[:, -1] = True
    step_ids = ids.to(device)
    for step in range(most):
        with head_at(model, last):
            out = model(
                input_ids=step_ids,
                attention_mask=seen[:, : longest + step],
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
            )
        chosen = out.logits.argmax(-1)
        for row, token in zip(rows, chosen.tolist(), strict=True):
            if not finished[row]:
                made[row].append(token)
                finished[row] = ends(row, made[row])
        open_rows = [place for place, row in enumerate(rows) if not finished[row]]
        if not open_rows:
            break
        positions = positions[:, -1:] + 1
        if len(rows) - len(open_rows) >= _DROP * len(rows):
            kept = torch.tensor(open_rows, device=device)
            cache.batch_select_indices(kept)
            seen, positions, chosen = seen[kept], positions[kept], chosen[kept]
            rows = [rows[place] for place in open_rows]
        step_ids = chosen[:, None]
        last = torch.ones((len(rows), 1), dtype=torch.bool, device=device)
    return made
