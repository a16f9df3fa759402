"""Where things are: the tasks and matrices that ship with the program, and the user's cache."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from harness.errors import UserError

_HERE = Path(__file__).resolve().parent


def shipped(kind: str) -> Path:
    """The folder ``tasks`` or ``matrices``: inside the installed wheel, or at the root of a checkout."""
    packed = _HERE / "_shipped" / kind
    return packed if packed.is_dir() else _HERE.parent / kind


def cache_folder() -> Path:
    """``TUNEBENCH_CACHE``, or ``tunebench`` under the user's cache folder. Made if it does not exist."""
    stated = os.environ.get("TUNEBENCH_CACHE")
    if stated:
        folder = Path(stated).expanduser()
    elif sys.platform == "darwin":
        folder = Path.home() / "Library" / "Caches" / "tunebench"
    elif os.name == "nt":
        folder = Path(os.environ.get("LOCALAPPDATA", Path.home())) / "tunebench"
    else:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tunebench"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the cache folder {folder}: {error.strerror}; set TUNEBENCH_CACHE") from error
    return folder


def find_matrix(name: str) -> Path:
    """A matrix by path, or by the name of one that ships (``quick``)."""
    path = Path(name)
    if path.is_file():
        return path
    beside = shipped("matrices") / f"{path.stem}.yaml"
    if path.suffix in ("", ".yaml", ".yml") and (len(path.parts) == 1 or path.parts[0] == "matrices") and beside.exists():
        return beside
    known = sorted(p.stem for p in shipped("matrices").glob("*.yaml"))
    raise UserError(f"matrix {name} does not exist; those that ship: {', '.join(known)}")


def task_folders(include: list[str] | tuple[str, ...]) -> list[Path]:
    """The folders where tasks are looked for, the user's before ours."""
    folders = []
    for item in include:
        folder = Path(item).expanduser()
        if not folder.is_dir():
            raise UserError(f"--include-path {item} is not a folder")
        folders.append(folder.resolve())
    return [*folders, shipped("tasks")]
