"""Whether the report that stands in a results folder is still what its records would give. Imports no plotting library, so
that a run with nothing to do is quick."""

from __future__ import annotations

from pathlib import Path

from harness.keys import code_digest, digest, file_digest, versions
from harness.record import atomic_write


def is_current(results: Path) -> bool:
    """True where ``report.md`` was made from these records, this ``run.json`` and this code."""
    stamp = results / ".report"
    return (results / "report.md").exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == _sources(results)


def mark(results: Path) -> None:
    """Note what the report that was just written is made from."""
    atomic_write(results / ".report", _sources(results))


def _sources(results: Path) -> str:
    records: list[tuple[str, ...]] = [
        (path.parent.name, path.name, file_digest(path)) for path in sorted(results.glob("cells/*/record*.json"))
    ]
    records += [("judge", path.name, file_digest(path)) for path in sorted(results.glob("judge/*.json")) if path.is_file()]
    records += [(path.name, file_digest(path)) for path in [results / "contamination.json"] if path.is_file()]
    run = results / "run.json"
    code = code_digest(Path(__file__).parent.glob("*.py"))
    return digest([records, file_digest(run) if run.exists() else "", code, versions(["matplotlib", "pandas"])])
