"""A tiny scripted world: a two-layer model with a byte tokenizer, a small task, a cache of its own. No network, no wheel."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tokenizer():
    """Bytes as tokens, with the special tokens and a chat template like the embedded model's."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate(["<|endoftext|>", "<|im_start|>", "<|im_end|>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
    )
    fast.chat_template = CHAT
    return fast


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """A folder with a random two-layer Llama and its tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("tiny-model")
    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=len(tokenizer), max_position_embeddings=512, tie_word_embeddings=True,
        bos_token_id=1, eos_token_id=2, pad_token_id=2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


TASK = """\
task: {name}
custom_dataset: !function data.load
training_split: train
validation_split: validation
test_split: test
output_type: multiple_choice
doc_to_text: "Text: {{{{text}}}}\\nLabel:"
doc_to_choice: [bad, good]
doc_to_target: label
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0
  tunebench:
    main_metric: acc
    licence: CC0-1.0
    kind: classification
    chance: 0.5
    chat_template: false
    redistribute: true
    version: 1
"""

DATA = """\
import json
from pathlib import Path
from datasets import Dataset, DatasetDict

def load(**_):
    here = Path(__file__).resolve().parent
    rows = json.loads((here / "rows.json").read_text())
    return DatasetDict({split: Dataset.from_list(part) for split, part in rows.items()})
"""


def write_task(folder: Path, name: str = "toy", rows: dict | None = None, yaml: str | None = None) -> Path:
    """A task folder of two classes. Returns the folder to give to --include-path."""
    home = folder / name
    home.mkdir(parents=True)
    if rows is None:
        texts = [f"{'rise' if i % 2 else 'fall'} number {i} of the day" for i in range(40)]
        made = [{"text": text, "label": "good" if i % 2 else "bad"} for i, text in enumerate(texts)]
        rows = {"train": made[:20], "validation": made[20:28], "test": made[28:]}
    (home / "rows.json").write_text(json.dumps(rows))
    (home / "data.py").write_text(DATA)
    (home / f"{name}.yaml").write_text(yaml or TASK.format(name=name))
    return folder


@pytest.fixture
def toy(tmp_path) -> Path:
    return write_task(tmp_path / "tasks")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Each test session has a cache of its own, unless a test needs the converted embedded model."""
    monkeypatch.setenv("TUNEBENCH_CACHE", str(_session_cache(tmp_path_factory)))


def _session_cache(tmp_path_factory) -> Path:
    folder = tmp_path_factory.getbasetemp() / "cache"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def embedded_cache() -> str:
    """The user's own cache, where the embedded model may already be converted (it is made there if not)."""
    return os.environ.get("TUNEBENCH_TEST_CACHE", str(Path.home() / ".cache" / "tunebench"))
