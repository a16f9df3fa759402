"""Keys: hashes of everything that can change a step, and of nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

#: packages whose version may change a trained model or a prediction
COMPUTING = (
    "torch", "transformers", "trl", "peft", "accelerate", "tokenizers", "safetensors", "numpy", "scikit-learn", "lm_eval",
    "datasets", "jinja2", "scipy",
)  # fmt: skip
#: packages whose version may change a score
SCORING = ("lm_eval", "scikit-learn", "scipy", "numpy", "seqeval", "nltk", "langdetect")


def digest(value: Any) -> str:
    """SHA-256 (hex) of a JSON-able value in canonical form: sorted keys, no spaces, NaN refused."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def code_digest(paths: Iterable[Path]) -> str:
    """SHA-256 over source files: their names and bytes, in name order."""
    return digest(sorted((path.name, file_digest(path)) for path in paths))


def engine_code(*modules: str) -> str:
    """The digest of some of the engine's own modules, by name (``"training"``)."""
    here = Path(__file__).parent
    return code_digest(here / f"{module}.py" for module in modules)


def score_key(predict: str, references: str, metric_code: str) -> str:
    """The key of a cell's scores: predictions, references, and the code and versions that score them."""
    own = engine_code("score", "intervals", "classification", "entities", "entity_scores", "constraints", "instruction_scores")
    return digest([predict, references, metric_code, own, versions(SCORING)])


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Installed versions by package; a package that is absent is left out."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
