"""How long a cell takes: from what earlier cells took on this machine, else from a ten-second probe. Estimates only."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any

from harness.hardware import Compute, cpu_name
from harness.keys import digest
from harness.paths import cache_folder
from harness.record import atomic_write

if TYPE_CHECKING:
    from harness.resolve import Resolved

#: seconds to start a cell, load the model and write the record
_OVERHEAD = {True: 6.0, False: 3.0}
_PROBE_SECONDS = 10.0
#: the embedded model's shape: what is probed, whatever model runs (a config of another family may not shrink)
_SHAPE = {"hidden_size": 576, "intermediate_size": 1536, "num_attention_heads": 9, "num_key_value_heads": 3}


def _path(compute: Compute) -> Any:
    key = digest([cpu_name(), compute.device, compute.precision, compute.threads])[:16]
    return cache_folder() / "rates" / f"{key}.json"


def load_rates(compute: Compute) -> dict[str, float]:
    """FLOP/s by kind of work and model: ``train:<method>:<model>``, ``predict:<model>`` (rating given answers),
    ``generate:<model>`` (writing them), and as probed (``probe_train`` ...); empty where nothing is known yet."""
    try:
        found = json.loads(_path(compute).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(k): float(v) for k, v in found.items()} if isinstance(found, dict) else {}


def learn_rates(resolved: Resolved, summary: dict[str, Any]) -> None:
    """Remember how fast a finished cell trained."""
    if summary["status"] != "ok" or not resolved.method.uses_model:
        return
    rates = load_rates(resolved.job.compute)
    seconds, flops = summary.get("train_seconds") or 0.0, summary.get("flops") or 0.0
    if seconds > 1 and flops:
        rates[_training(resolved)] = flops / seconds
    if summary.get("predict_rate"):
        rates[f"{_answering(resolved)}:{_model(resolved)}"] = summary["predict_rate"]
    atomic_write(_path(resolved.job.compute), json.dumps(rates))


def _model(resolved: Resolved) -> str:
    return resolved.job.base.sha256[:8]


def _training(resolved: Resolved) -> str:
    return f"train:{resolved.method.name}:{_model(resolved)}"


def _answering(resolved: Resolved) -> str:
    return "generate" if resolved.facts.generates else "predict"


def predict_flops(resolved: Resolved, config: dict) -> float:
    """About what evaluating a cell computes: two FLOPs a weight and token."""
    weights = _block_weights(config)
    facts = resolved.facts
    new = facts.test_samples * facts.longest_answer if facts.generates else 0
    return 2.0 * weights * (facts.test_tokens + new)


def _block_weights(config: dict) -> float:
    """Weights of the blocks and the head, from a Llama-like config (an estimate elsewhere)."""
    hidden = config.get("hidden_size", config.get("n_embd", 768))
    layers = config.get("num_hidden_layers", config.get("n_layer", 12))
    inner = config.get("intermediate_size", 4 * hidden)
    heads = config.get("num_attention_heads", 12)
    kv = config.get("num_key_value_heads", heads)
    return layers * hidden * (2 * hidden + 2 * hidden * kv / heads + 3 * inner) + hidden * config.get("vocab_size", 50_000)


def estimate_cell(resolved: Resolved, rates: dict[str, float]) -> float | None:
    """Seconds that a cell is likely to take; None where nothing is known of this machine yet."""
    method, cell = resolved.method, resolved.job.cell
    if not method.uses_model:
        return _OVERHEAD[False]
    answering = _answering(resolved)
    predict_rate = rates.get(f"{answering}:{_model(resolved)}", rates.get(f"probe_{answering}"))
    if predict_rate is None:
        return None
    seconds = _OVERHEAD[True] + predict_flops(resolved, resolved.job.base.config()) / predict_rate
    if method.trains and method.training_passes:
        per_token = 2.0 * method.training_passes * _block_weights(resolved.job.base.config())
        train_rate = rates.get(_training(resolved), rates.get("probe_train", predict_rate))
        spent = {"flops": cell.budget.amount, "tok": per_token * cell.budget.amount}.get(cell.budget.unit, math.inf)
        if epochs := getattr(method.settings, "epochs", None):  # passes may end before the budget does
            spent = min(spent, per_token * epochs * resolved.facts.train_tokens)
        trained = spent / train_rate
        seconds += min(trained, cell.budget.amount) if cell.budget.unit == "s" else trained if math.isfinite(trained) else 0.0
    return seconds


def estimate_memory(resolved: Resolved) -> int:
    """Bytes a cell is likely to take at its peak: the imports, the weights, and for full training gradients and moments."""
    imports = 900 * 2**20
    if not resolved.method.uses_model:
        return imports
    weights = resolved.job.base.weights_bytes
    activations = 2**30 if resolved.method.trains else 2**28
    return int(imports + resolved.method.memory_share * weights + activations)


def probe(compute: Compute) -> dict[str, float]:
    """Time decoder layers of the embedded model's shape with random weights for about ten seconds, and remember the FLOP/s."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    from harness.flops import cost_model
    from harness.forward import autocast

    torch.set_num_threads(compute.threads)
    small = LlamaConfig(**_SHAPE, num_hidden_layers=2, vocab_size=1024, pad_token_id=0)
    model = AutoModelForCausalLM.from_config(small).to(compute.device)
    costs = cost_model(model)
    rates = load_rates(compute)
    for name, trains, rows, length in (
        ("probe_train", True, 8, 64),
        ("probe_predict", False, 8, 64),
        ("probe_generate", False, 64, 1),
    ):
        ids = torch.randint(0, 1024, (rows, length), device=compute.device)
        flops, began = 0.0, 0.0
        for step in range(10_000):
            if step == 2:
                began, flops = time.perf_counter(), 0.0  # the first steps warm up
            elif step > 2 and time.perf_counter() - began > _PROBE_SECONDS / 3:
                break
            with autocast(compute), torch.set_grad_enabled(trains):
                logits = model(input_ids=ids, use_cache=False).logits
            if trains:
                logits.float().logsumexp(-1).mean().backward()
                model.zero_grad()
            flops += rows * (costs.train(length, logits=length) if trains else costs.forward(length, logits=length))
        rates[name] = flops / (time.perf_counter() - began)
    atomic_write(_path(compute), json.dumps(rates))
    return rates
