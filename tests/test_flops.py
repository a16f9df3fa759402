"""The analytic count of FLOPs against torch's own counter on eager attention, within 2 %, architecture by architecture."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, GPT2Config, GPTNeoXConfig, LlamaConfig, Qwen2Config

from harness.flops import CostModel, cost_model
from harness.forward import head_at

LENGTH, ROWS, VOCABULARY = 64, 2, 1000
_SPECIAL = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2, "vocab_size": VOCABULARY}
_SHAPE = _SPECIAL | {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4}
CONFIGS = {
    "llama": LlamaConfig(**_SHAPE, intermediate_size=352, num_key_value_heads=2, head_dim=48, tie_word_embeddings=True),
    "qwen2": Qwen2Config(**_SHAPE, intermediate_size=400, num_key_value_heads=1, tie_word_embeddings=False),
    "gpt2": GPT2Config(**_SPECIAL, n_embd=128, n_layer=4, n_head=4, n_positions=128, attn_pdrop=0, embd_pdrop=0, resid_pdrop=0),
    "gpt-neox": GPTNeoXConfig(**_SHAPE, intermediate_size=512),  # attention and MLP side by side, as in Pythia
}
WITHIN = 0.02
pytestmark = pytest.mark.filterwarnings("ignore:fan_in_fan_out", "ignore:.is_gradient_checkpointing")


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=CONFIGS)
def model(request):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(CONFIGS[request.param], attn_implementation="eager").eval()


def with_lora(model):
    return get_peft_model(model.requires_grad_(False), LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM"))


def counted(act: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        act()
    return counter.get_total_flops()


def assert_close(ours: float, theirs: int) -> None:
    print(f"ratio of ours to torch's counter: {ours / theirs:.4f}")
    assert abs(ours / theirs - 1) <= WITHIN, f"counted {ours:.6g}, torch's counter {theirs:.6g}: ratio {ours / theirs:.4f}"


def some_tokens(rows: int = ROWS) -> torch.Tensor:
    return torch.randint(3, VOCABULARY, (rows, LENGTH), generator=torch.Generator().manual_seed(1))


def forward_with_head_at_the_end(model, logits: int) -> Callable[[], object]:
    positions = torch.zeros((ROWS, LENGTH), dtype=torch.bool)
    positions[:, LENGTH - logits :] = True

    @torch.no_grad()
    def act():
        with head_at(model, positions):
            found = model(input_ids=some_tokens(), use_cache=False).logits
        assert found.shape == (ROWS * logits, VOCABULARY)

    return act


def training_step(model, supervised: int) -> Callable[[], object]:
    """Forward and backward with the loss at the last `supervised` tokens, as training computes it."""
    ids = some_tokens()
    labels = ids.clone()
    labels[:, : LENGTH - supervised] = -100
    positions = torch.zeros_like(labels, dtype=torch.bool)
    positions[:, :-1] = labels[:, 1:] != -100

    def act():
        with head_at(model, positions):
            logits = model(input_ids=ids, use_cache=False).logits
        torch.nn.functional.cross_entropy(logits.float(), labels[:, 1:][labels[:, 1:] != -100]).backward()

    return act


def test_inference_with_the_head_at_some_positions(model):
    costs = cost_model(model)
    for logits in (1, 7, LENGTH):
        assert_close(ROWS * costs.forward(LENGTH, logits=logits), counted(forward_with_head_at_the_end(model, logits)))


def test_training_of_all_weights(model):
    costs = cost_model(model)
    assert costs.trains_all
    for supervised in (1, 20):
        assert_close(ROWS * costs.train(LENGTH, logits=supervised), counted(training_step(model, supervised)))


def test_training_of_adapters(model):
    model = with_lora(model)
    costs = cost_model(model)
    assert not costs.trains_all
    for supervised in (1, 20):
        assert_close(ROWS * costs.train(LENGTH, logits=supervised), counted(training_step(model, supervised)))


def test_inference_with_adapters(model):
    model = with_lora(model)
    assert_close(ROWS * cost_model(model).forward(LENGTH, logits=3), counted(forward_with_head_at_the_end(model, 3)))


def test_generation_with_a_cache(model):
    prompt, new = some_tokens(1), 8

    @torch.no_grad()
    def generate():
        out = model(input_ids=prompt, use_cache=True, logits_to_keep=1)
        for _ in range(new - 1):
            out = model(input_ids=out.logits[:, -1:].argmax(-1), past_key_values=out.past_key_values, use_cache=True)

    assert_close(cost_model(model).generate(LENGTH, new), counted(generate))


def test_generation_is_the_prompts_pass_and_one_step_a_token():
    costs = CostModel(block_weights=1000, head_weights=50, adapter_weights=10, attention_width=8, trains_all=False)
    steps = sum(costs.forward(1, keys=30 + i, logits=1) for i in range(1, 9))
    assert costs.generate(30, 9) == pytest.approx(costs.forward(30, logits=1) + steps)
    assert costs.generate(30, 1) == costs.forward(30, logits=1)
    assert costs.generate(30, 0) == 0


@pytest.mark.parametrize("lora", [False, True])
def test_a_model_without_weights_is_counted_alike(lora):
    with torch.device("meta"):
        skeleton = AutoModelForCausalLM.from_config(CONFIGS["llama"])
        skeleton = with_lora(skeleton) if lora else skeleton
    real = AutoModelForCausalLM.from_config(CONFIGS["llama"])
    assert cost_model(skeleton) == cost_model(with_lora(real) if lora else real)


def test_the_parts_are_those_of_the_architecture():
    costs = cost_model(AutoModelForCausalLM.from_config(CONFIGS["llama"]))
    hidden, inner, queries, keys = 128, 352, 4 * 48, 2 * 48
    assert costs.block_weights == 4 * (2 * hidden * queries + 2 * hidden * keys + 3 * hidden * inner)
    assert costs.head_weights == VOCABULARY * hidden
    assert costs.attention_width == 4 * queries
    assert (costs.adapter_weights, costs.trains_all) == (0, True)
    lora = cost_model(with_lora(AutoModelForCausalLM.from_config(CONFIGS["llama"])))
    assert lora.adapter_weights == 4 * 8 * (2 * (hidden + queries) + 2 * (hidden + keys) + 3 * (hidden + inner))
    assert (lora.block_weights, lora.head_weights) == (costs.block_weights, costs.head_weights)


def test_adapters_cost_less_per_token_than_full_training_and_more_than_inference():
    full = cost_model(AutoModelForCausalLM.from_config(CONFIGS["llama"]))
    lora = cost_model(with_lora(AutoModelForCausalLM.from_config(CONFIGS["llama"])))
    assert full.forward(64, logits=1) < lora.train(64, logits=1) < full.train(64, logits=1)
