"""The model class that evaluation talks to: an lm-eval `TemplateLM` that batches by length and computes few logits.

Requests that differ in their last token only (one-token choices) share one forward pass. Rows are padded on the right
and no mask is passed: under causal attention a real position never sees the padding behind it.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import postprocess_generated_text
from transformers.cache_utils import DynamicCache

from harness.decoding import greedy, shared_prefix
from harness.errors import UserError
from harness.flops import CostModel, cost_model
from harness.forward import autocast, head_at
from harness.hardware import Compute
from harness.keys import digest
from harness.model import context_length, tokenise

#: rows computed together; fixed, because a score may move with it (under bf16) and must not move by accident
BATCH_ROWS = 16
#: rows that are continued together: a step reads all weights once, whatever the number of rows
GENERATED_ROWS = 64
#: a common beginning of at least so many tokens is computed once for all rows
_WORTH_SHARING = 32


class CausalLM(TemplateLM):
    """A causal language model as lm-eval sees one. Counts the FLOPs, tokens and seconds of what it is asked."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        compute: Compute,
        *,
        batch_rows: int = BATCH_ROWS,
        generated_rows: int = GENERATED_ROWS,
        progress: Callable[[int, int], None] | None = None,
        shares_prefix: bool = True,
    ) -> None:
        super().__init__()
        self.shares_prefix = shares_prefix
        self.rewrite: Callable[[Any], Any] = lambda request: request
        """what becomes of a request before it is answered: few-shot puts examples before its prompt"""
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.compute = compute
        self.batch_rows = batch_rows
        self.generated_rows = generated_rows
        self.progress = progress or (lambda done, total: None)
        self.costs: CostModel = cost_model(model)
        self.max_length = context_length(model.config)
        self.flops = 0.0
        self.seconds = 0.0
        self.generated_tokens = 0
        self.plan: list[list[str]] = []

    @property
    def eot_token_id(self) -> int:
        return self.tokenizer.eos_token_id

    @property
    def prefix_token_id(self) -> int:
        bos = self.tokenizer.bos_token_id
        return self.eot_token_id if bos is None else bos

    @property
    def tokenizer_name(self) -> str:
        return str(self.tokenizer.name_or_path)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """Token ids, by the function that training uses."""
        if add_special_tokens is None:
            return tokenise(self.tokenizer, string)
        return self.tokenizer.encode(string, add_special_tokens=add_special_tokens)

    def continuation_tokens(self, context: str, continuation: str) -> int:
        """How many tokens a continuation has behind its whole context. (Its log-likelihood is, as lm-eval defines it, also that
        of the white space which the context ends with: in a chat template a line break that is as good as certain.)"""
        return len(self.tok_encode(context + continuation)) - len(self.tok_encode(context))

    def batch_plan(self) -> str:
        """Digest of what was computed together, in which order."""
        return digest(self.plan)

    def loglikelihood(self, requests: Any, disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        return super().loglikelihood([self.rewrite(request) for request in requests], disable_tqdm=disable_tqdm)

    def _loglikelihood_tokens(
        self, requests: list[tuple[tuple[str, str], list[int], list[int]]], disable_tqdm: bool = False, **kwargs: Any
    ) -> list[tuple[float, bool]]:
        """(sum of log-probabilities, whether greedy decoding gives it) per (texts, context ids, continuation ids)."""
        started = time.perf_counter()
        groups: dict[tuple[int, ...], list[int]] = {}
        for index, (_, context, continuation) in enumerate(requests):
            ids = (context + continuation)[-(self.max_length + 1) :]
            groups.setdefault(tuple(ids[:-1]), []).append(index)
        order = sorted(groups, key=lambda ids: (-len(ids), ids))
        answers: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        asked = {row: [requests[i] for i in indices] for row, indices in groups.items()}
        prefix = self._prefix(asked)
        for start in range(0, len(order), self.batch_rows):
            rows = order[start : start + self.batch_rows]
            self.plan.append([digest(row) for row in rows])
            self._score_rows(rows, [asked[row] for row in rows], [groups[row] for row in rows], answers, prefix)
            self.progress(start + len(rows), len(order))
        self.seconds += time.perf_counter() - started
        return answers

    @torch.inference_mode()
    def _prefix(self, asked: Mapping[tuple[int, ...], Sequence[tuple[Any, list[int], list[int]]]]) -> tuple[int, Any]:
        """What all rows begin with, if it is worth it: (tokens, their keys and values), computed once; (0, None) else. The
        positions whose logits are asked for stay out of it."""
        shared = shared_prefix(self.model, list(asked)) if self.shares_prefix else 0
        for row, requests in asked.items():
            shared = min(shared, len(row) - max(len(continuation) for _, _, continuation in requests))
        if shared < _WORTH_SHARING:
            return 0, None
        cache = DynamicCache(config=self.model.config)
        ids = torch.tensor([next(iter(asked))[:shared]], device=self.compute.device)
        with autocast(self.compute), head_at(self.model, torch.zeros_like(ids, dtype=torch.bool)):
            self.model(input_ids=ids, past_key_values=cache, use_cache=True)
        self.flops += self.costs.forward(shared)
        return shared, cache

    @torch.inference_mode()
    def _score_rows(
        self,
        rows: Sequence[tuple[int, ...]],
        asked: Sequence[Sequence[tuple[Any, list[int], list[int]]]],
        indices: Sequence[Sequence[int]],
        answers: list[tuple[float, bool]],
        prefix: tuple[int, Any] = (0, None),
    ) -> None:
        shared, known = prefix
        rows = [row[shared:] for row in rows]
        longest = max(map(len, rows))
        ids = torch.full((len(rows), longest), self.tokenizer.pad_token_id, dtype=torch.long)
        positions = torch.zeros((len(rows), longest), dtype=torch.bool)
        kept = []
        for number, (row, requests) in enumerate(zip(rows, asked, strict=True)):
            ids[number, : len(row)] = torch.tensor(row)
            keep = min(len(row), max(len(continuation) for _, _, continuation in requests))
            positions[number, len(row) - keep : len(row)] = True
            kept.append(keep)
            self.flops += self.costs.forward(len(row), keys=shared + len(row), logits=keep)
        device = self.compute.device
        positions = positions.to(device)
        with autocast(self.compute), head_at(self.model, positions):
            logits = self.model(input_ids=ids.to(device), **_behind(known, len(rows))).logits
        logprobs = torch.log_softmax(logits.float(), dim=-1)
        first = 0
        for keep, requests, numbers in zip(kept, asked, indices, strict=True):
            row_logprobs = logprobs[first : first + keep]
            first += keep
            for (_, _, continuation), number in zip(requests, numbers, strict=True):
                tail = continuation[-keep:]
                own = row_logprobs[-len(tail) :]
                targets = torch.tensor(tail, device=own.device)
                total = own.gather(1, targets[:, None]).sum().item()
                answers[number] = (total, bool((own.argmax(-1) == targets).all()))

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
        raise UserError("tasks with output_type loglikelihood_rolling (perplexity) have no answers to compare methods by")

    @torch.inference_mode()
    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
        """Greedy continuations, cut at the first of each request's ``until`` strings. Batches are sorted by length; what
        all prompts of a batch begin with is computed once."""
        started = time.perf_counter()
        encoded = []
        for index, request in enumerate(map(self.rewrite, requests)):
            context, settings = request.args
            new = min(int(settings.get("max_gen_toks", settings.get("max_new_tokens", 256))), self.max_length - 1)
            until = settings.get("until") or []
            until = [until] if isinstance(until, str) else list(until)
            encoded.append((self.tok_encode(context)[-(self.max_length - new) :], new, until, index))
        encoded.sort(key=lambda row: (row[1], -len(row[0]), row[0]))
        answers = [""] * len(encoded)
        done = 0
        for batch in _batches(encoded, self.generated_rows):
            prompts = [row[0] for row in batch]
            self.plan.append([digest(prompt) for prompt in prompts])
            with autocast(self.compute):
                made = greedy(self.model, prompts, batch[0][1], self._ends(batch), self.tokenizer.pad_token_id)
            shared = shared_prefix(self.model, prompts)
            self.flops += self.costs.forward(shared)
            for (prompt, _, until, index), ids in zip(batch, made, strict=True):
                self.flops += self.costs.generate(len(prompt), len(ids), shared=shared)
                self.generated_tokens += len(ids)
                text = self.tokenizer.decode(ids, skip_special_tokens=True)
                answers[index] = postprocess_generated_text(text, stop=until, think_end_token=None)
            done += len(batch)
            self.progress(done, len(encoded))
        self.seconds += time.perf_counter() - started
        return answers

    def _ends(self, batch: list) -> Callable[[int, list[int]], bool]:
        """Whether a row is finished: at the end-of-turn token, or when one of its ``until`` strings has been written."""

        def ends(row: int, ids: list[int]) -> bool:
            if ids[-1] == self.eot_token_id:
                return True
            until = [stop for stop in batch[row][2] if stop]
            if not until:
                return False
            tail = self.tokenizer.decode(ids[-max(map(len, until)) - 1 :])
            return any(stop in tail for stop in until)

        return ends


def _behind(known: Any, rows: int) -> dict[str, Any]:
    """Arguments of a forward pass of `rows` rows behind a prefix: a cache of their own with its keys and values."""
    if known is None:
        return {"use_cache": False}
    cache = copy.deepcopy(known)
    cache.batch_repeat_interleave(rows)
    return {"past_key_values": cache, "use_cache": True}


def _batches(rows: list, size: int) -> list[list]:
    """Consecutive rows of equal generation length, at most `size` together."""
    found: list[list] = []
    for row in rows:
        if found and len(found[-1]) < size and found[-1][0][1] == row[1]:
            found[-1].append(row)
        else:
            found.append([row])
    return found
