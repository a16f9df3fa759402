"""Data sets from the Hub for tasks: pinned by revision, or from a local copy; what goes wrong is said in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.errors import UserError, one_line


def load_hub_dataset(repository: str, revision: str, data_dir: str = "", **options: Any) -> Any:
    """``datasets.load_dataset`` of a repository at a revision, with its `options` (``name``, ``data_files``). Where
    ``DATA_DIR/repository`` is a folder, that copy is read instead. Raises `UserError` naming the id, the cause and the mend."""
    from datasets import load_dataset

    local = Path(data_dir, repository) if data_dir else None
    try:
        if local is not None and local.is_dir():
            return load_dataset(str(local), **options)
        return load_dataset(repository, revision=revision, **options)
    except Exception as error:  # the client and the readers raise many kinds; each is the user's to mend
        mend = f"check the network, or put a copy of the repository into DIR/{repository} and give --data-dir DIR"
        said = f"{type(error).__name__}: {one_line(error, 150)}"
        raise UserError(f"data set {repository}@{revision[:20]} cannot be had: {said}; {mend}") from error
