"""Data sets from the Hub for tasks: pinned by revision, or from a local copy; what goes wrong is said in one line."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.errors import UserError, one_line
from harness.keys import digest
from harness.paths import cache_folder
from harness.process import redact

#: how files of the Hub are read, by the end of their names
_READERS = {".parquet": "parquet", ".json": "json", ".jsonl": "json", ".csv": "csv"}
#: modules whose errors are about fetching, not about what a task made of the data
_FETCHING = ("huggingface_hub", "httpx", "httpcore", "requests", "urllib3", "aiohttp", "fsspec")


def load_hub_dataset(
    repository: str, revision: str, data_dir: str = "", files: Mapping[str, str] | None = None, **options: Any
) -> Any:
    """A repository at a revision as a ``DatasetDict``, by ``datasets.load_dataset`` with `options` (``name``).

    `files` (split -> path in the repository: parquet, JSON lines or CSV) reads just those, which works where the repository
    also holds a loading script, too. Where ``DATA_DIR/repository`` is a folder, that copy is read instead. Raises `UserError`
    naming the id, the cause and the mend.
    """
    from datasets import load_dataset

    local = Path(data_dir, repository) if data_dir else None
    if local is not None and not local.is_dir():
        local = None
    try:
        if files is None:
            if local:
                return load_dataset(str(local), cache_dir=cache_of(local), **options)
            return load_dataset(repository, revision=revision, **options)
        paths = {split: str(local / path) if local else _file(repository, revision, path) for split, path in files.items()}
        reader = _READERS[Path(next(iter(files.values()))).suffix]
        return load_dataset(reader, data_files=paths, **options)
    except Exception as error:  # the client and the readers raise many kinds; each is the user's to mend
        raise cannot_be_had(repository, revision, error, local) from error


def cache_of(local: Path) -> str:
    """A cache folder for a local copy as it is now: `datasets` itself knows a folder by its name only, and would give what
    another copy of that name, or an older state of this one, once held."""
    files = [path for path in sorted(local.rglob("*")) if path.is_file()]
    state = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    return str(cache_folder() / "copies" / digest([str(local.resolve()), state])[:24])


def _file(repository: str, revision: str, path: str) -> str:
    """A file of a repository in the Hub's own cache: fetched once, and there without a network from then on."""
    from huggingface_hub import hf_hub_download

    return hf_hub_download(repository, path, repo_type="dataset", revision=revision)


def cannot_be_had(repository: str, revision: str, error: BaseException, local: Path | None = None) -> UserError:
    """The one line for a data set that could not be read: which, why, and the way round."""
    name = f"{repository}@{revision[:20]}" if revision else repository
    first = next((one for one in reversed(list(_chain(error))) if _fetching(one)), error)  # the client wraps what went wrong
    said = redact(f"{type(first).__name__}: {one_line(first, 150)}")
    if local is not None:
        return UserError(f"data set {name}: its copy in {local} cannot be read: {said}; copy the whole repository again")
    cause, mend = _cause(error, repository)
    way_round = f"or put a copy of the repository into DIR/{repository} and give --data-dir DIR"
    return UserError(f"data set {name} cannot be had: {cause} ({said}); {mend}, {way_round}")


def comes_from_the_hub(error: BaseException) -> bool:
    """Whether an error is about fetching data, not about what is done with them."""
    from datasets.exceptions import DatasetsError

    return any(isinstance(one, DatasetsError) or _fetching(one) for one in _chain(error))


def _fetching(error: BaseException) -> bool:
    return isinstance(error, (ConnectionError, TimeoutError)) or type(error).__module__.split(".")[0] in _FETCHING


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from."""
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__ or one.__context__


def _cause(error: BaseException, repository: str) -> tuple[str, str]:
    """Why, and what to do about it."""
    names = {type(one).__name__ for one in _chain(error)}
    statuses = {getattr(getattr(one, "response", None), "status_code", None) for one in _chain(error)}
    text = " ".join(str(one) for one in _chain(error)).lower()
    if any(isinstance(one, OSError) and one.errno == errno.ENOSPC for one in _chain(error)):
        return "the disk is full", "make room, or set HF_HOME to another disk"
    if "GatedRepoError" in names or "gated dataset" in text:
        terms = f"accept its terms on https://huggingface.co/datasets/{repository} and set HF_TOKEN to a token of yours"
        return "its owner lets only those read it who accepted its terms", terms
    if "OfflineModeIsEnabled" in names or "offline mode" in text or "offlinemode" in text:
        return "HF_HUB_OFFLINE forbids asking the Hub", "unset it"
    if busy := sorted(status for status in statuses if isinstance(status, int) and (status >= 500 or status == 429)):
        return f"the Hub answered {busy[0]}", "run again: what was fetched is kept"
    if (
        names & {"ConnectError", "ConnectTimeout", "ReadTimeout", "ReadError", "RemoteProtocolError", "LocalEntryNotFoundError"}
        or "couldn't reach" in text
    ):
        return "the Hub does not answer", "check the network and run again (what was fetched is kept)"
    if "RevisionNotFoundError" in names or "revision not found" in text:
        return "the Hub has no such revision", "ask for another revision"
    if names & {"RepositoryNotFoundError", "DatasetNotFoundError"} or "repository not found" in text:
        return "the Hub has no such data set, or hides it from you", "check the id (a private one needs HF_TOKEN)"
    if names & {"EntryNotFoundError", "RemoteEntryNotFoundError", "FileNotFoundError"}:
        return "the repository has no such file", "check the names in the task"
    if "scripts are no longer supported" in text:
        return "it is read by a script, which is never run", "name its files"
    return "it cannot be read", "check the names in the task"
