"""Greedy decoding: what transformers' own generate gives, whatever is computed together, shared, dropped or kept in place."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM

from harness.decoding import greedy, shared_prefix
from harness.flops import cost_model
from harness.forward import autocast, load, ready_to_answer
from harness.hardware import Compute
from harness.lm import CausalLM
from harness.loading import load_task
from harness.model import _tokenizer, find_model
from harness.paths import shipped
from harness.score import stored_sample

FP32 = Compute(device="cpu", precision="fp32", threads=2)
BF16 = Compute(device="cpu", precision="bf16", threads=2)
PAD, VOCABULARY, NEW = 2, 64, 14


def models() -> dict:
    """Random models of several builds: grouped queries, learned positions, a sliding window, another norm and a bias."""
    from transformers import GPT2Config, LlamaConfig, MistralConfig, Qwen2Config

    sizes = {
        "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "max_position_embeddings": 128,
    }  # fmt: skip
    return {
        "llama": LlamaConfig(**sizes, num_key_value_heads=2, tie_word_embeddings=True),
        "qwen2": Qwen2Config(**sizes, num_key_value_heads=1),
        "sliding": MistralConfig(**sizes, num_key_value_heads=2, sliding_window=6),
        "gpt2": GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=128),
    }


@pytest.fixture(params=list(models()))
def model(request):
    torch.manual_seed(1)
    return AutoModelForCausalLM.from_config(models()[request.param], attn_implementation="sdpa").eval()


def prompts(shared: int) -> list[list[int]]:
    chance = torch.Generator().manual_seed(7)
    lengths = (3, 9, 4, 1, 12, 7)
    beginning = torch.randint(3, VOCABULARY, (shared,), generator=chance).tolist()
    return [beginning + torch.randint(3, VOCABULARY, (n,), generator=chance).tolist() for n in lengths]


def by_generate(model, prompt: list[int]) -> list[int]:
    ids = torch.tensor([prompt])
    with torch.inference_mode():
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW, do_sample=False, pad_token_id=PAD, eos_token_id=None
        )
    return out[0, len(prompt) :].tolist()


def ends(row: int, ids: list[int]) -> bool:
    """Rows finish after different numbers of tokens, so that rows are dropped on the way."""
    return len(ids) == 2 + 3 * (row % 4)


@pytest.mark.parametrize("shared", [0, 5])
def test_a_batch_gives_what_generate_gives_one_by_one(model, shared):
    asked = prompts(shared)
    with torch.inference_mode():
        made = greedy(model, asked, NEW, lambda row, ids: False, PAD)
        dropped = greedy(model, asked, NEW, ends, PAD)
    assert made == [by_generate(model, prompt) for prompt in asked]
    assert dropped == [ids[: 2 + 3 * (row % 4)] for row, ids in enumerate(made)]


def test_one_prompt_alone_and_prompts_that_are_the_same(model):
    one = prompts(0)[1]
    with torch.inference_mode():
        assert greedy(model, [one], NEW, lambda row, ids: False, PAD) == [by_generate(model, one)]
        assert greedy(model, [one, one], NEW, lambda row, ids: False, PAD) == [by_generate(model, one)] * 2


def test_what_prompts_share_leaves_each_a_token():
    made = {name: AutoModelForCausalLM.from_config(config) for name, config in models().items()}
    llama = made["llama"]
    assert shared_prefix(llama, [[1, 2, 3], [1, 2, 4, 5]]) == 2
    assert shared_prefix(llama, [[1, 2], [1, 2, 3]]) == 1
    assert shared_prefix(llama, [[1, 2], [1, 2]]) == 1
    assert shared_prefix(llama, [[7], [7, 8]]) == 0
    assert shared_prefix(llama, [[1, 2], [3, 2]]) == 0
    assert shared_prefix(llama, [[1, 2, 3]]) == 0
    assert [shared_prefix(made[name], [[1, 2], [1, 3]]) for name in ("qwen2", "gpt2", "sliding")] == [1, 1, 0]


def test_flops_of_a_batch_with_a_shared_prefix_are_torchs():
    """Rows of one length, so that nothing is padded; eager attention, whose products torch's counter sees."""
    model = AutoModelForCausalLM.from_config(models()["llama"], attn_implementation="eager").eval()
    asked = [[3, 4, 5, 6, 7 + row, 9] for row in range(4)]
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        greedy(model, asked, 5, lambda row, ids: False, PAD)
    costs = cost_model(model)
    shared = shared_prefix(model, asked)
    assert shared == 4
    ours = costs.forward(shared) + 4 * costs.generate(6, 5, shared=shared)
    assert ours == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_weights_made_ready_give_the_same_logits_as_autocast_alone(tiny_model):
    from peft import LoraConfig, get_peft_model

    def adapted():
        torch.manual_seed(3)
        base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
        config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
        return get_peft_model(base, config, autocast_adapter_dtype=True).eval()

    ids = torch.arange(3, 40)[None]
    plain, ready = adapted(), ready_to_answer(adapted(), BF16)
    with torch.inference_mode(), autocast(BF16):
        assert torch.equal(plain(input_ids=ids).logits, ready(input_ids=ids).logits)
    assert not any(p.requires_grad for p in ready.parameters())
    embeddings = ready.get_base_model().get_input_embeddings().weight
    assert embeddings.dtype == torch.float32  # looked up, not multiplied


def test_generation_stops_at_until_and_at_the_end_of_the_turn(tiny_model, monkeypatch):
    lm = CausalLM(AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32), _tokenizer(str(tiny_model)), FP32)
    said = [lm.tok_encode("one\ntwo"), [*lm.tok_encode("three"), lm.eot_token_id, 9], lm.tok_encode("a;b;c")]
    script = {}

    def scripted(model, prompts, most, ends, pad):
        found = []
        for row in range(len(prompts)):
            ids: list[int] = []
            for token in said[script[row]][:most]:
                ids.append(token)
                if ends(row, ids):
                    break
            found.append(ids)
        return found

    class Request:
        def __init__(self, text, until):
            self.args = (text, {"until": until, "max_gen_toks": 8})

    monkeypatch.setattr("harness.lm.greedy", scripted)
    script.update({0: 0, 1: 1, 2: 2})  # longest prompt first
    requests = [Request("ppp", ["\n"]), Request("pp", ["\n"]), Request("p", [";b", "\n"])]
    assert lm.generate_until(requests) == ["one", "three", "a"]
    assert lm.generated_tokens == len("one\n") + len("three") + 1 + len("a;b")


def test_the_embedded_model_writes_what_lm_eval_lets_it_write(embedded_cache, monkeypatch):
    """A slice of ``lm_eval --model hf --tasks medical_ner --include_path tasks`` in fp32: no answer and no score differs."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    monkeypatch.setenv("TUNEBENCH_CACHE", embedded_cache)
    base = find_model("smollm2-135m-instruct")
    task = load_task("medical_ner", [shipped("tasks")])
    assert not task.meta.chat_template
    task.config.generation_kwargs["max_gen_toks"] = 12
    samples = task.samples(None)[:4]
    lm = CausalLM(load(base, FP32), base.tokenizer(), FP32)
    ours = [
        stored_sample(sample, [answer], answer)["prediction"]
        for sample, answer in zip(samples, lm.generate_until([r for s in samples for r in s.requests]), strict=True)
    ]
    result = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": base.folder, "dtype": "float32"},
        tasks=["medical_ner"],
        task_manager=TaskManager(include_path=str(shipped("tasks") / "medical_ner"), include_defaults=False),
        limit=4,
        batch_size=1,
        device="cpu",
        log_samples=True,
        bootstrap_iters=0,
        gen_kwargs="max_gen_toks=12",
    )
    found = sorted(result["samples"]["medical_ner"], key=lambda sample: sample["doc_id"])
    assert ours == [sample["filtered_resps"][0] for sample in found]
    assert "entity_f1,none" in result["results"]["medical_ner"]
