"""A process of ours: its memory, its log, and what it must not tell."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.errors import UserError

_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASS|AUTH|CREDENTIAL)", re.IGNORECASE)


def redact(text: str) -> str:
    """Replace the values of environment variables that look like secrets, and what stands before the host of an address."""
    for name, value in os.environ.items():
        if len(value) >= 8 and _SECRET_NAME.search(name):
            text = text.replace(value, f"<{name}>")
    return re.sub(r"://[^/@\s]+@", "://<credentials>@", text)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextlib.contextmanager
def stderr_to(path: Path) -> Any:
    """What libraries print goes to the cell's log, not over the display; an empty log is removed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("w", encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot save {path}: {error.strerror}; choose another folder with --results") from error
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(stream.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        stream.close()
        with contextlib.suppress(OSError):
            text = path.read_text(encoding="utf-8", errors="replace")
            if text.strip():
                path.write_text(redact(text), encoding="utf-8")
            else:
                path.unlink()


def peak_memory(torch: Any) -> int:
    """Bytes: the device's peak on a GPU, else the process's resident peak."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return int(torch.cuda.max_memory_allocated())
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
