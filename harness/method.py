"""The Method interface and how methods are found: by entry point (ours and anybody's alike) or as ``file.py:Class``."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.budget import Meter
from harness.errors import UserError, one_line, unknown
from harness.hardware import Compute
from harness.keys import code_digest, file_digest
from harness.model import BaseModel as ModelOnDisk
from harness.task import Example, Task

GROUP = "tunebench.methods"


class Settings(BaseModel):
    """A method's settings. Subclass with typed fields and defaults; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CannotDo(Exception):
    """Raised by a method for a task that it cannot do; the cell is recorded as skipped, with the message as its reason."""


@dataclass
class Work:
    """What a method is given."""

    task: Task
    examples: list[Example]
    """the training split, rendered (empty where the method does not train)"""
    budget_meter: Meter
    seed: int
    compute: Compute
    base: ModelOnDisk
    chat_template: Callable[..., str] | None
    report: Callable[..., None] = field(default=lambda **_: None)
    """progress for the live display: ``report(phase=..., loss=..., share=...)``"""

    @cached_property
    def tokenizer(self) -> Any:
        return self.base.tokenizer()


@dataclass
class Fitted:
    """What a method gives back: anything that answers lm-eval requests, and what must be said of it."""

    lm: Any
    """an lm-eval ``LM``: `loglikelihood` and, for generation, `generate_until`"""
    trainable_parameters: int = 0
    stored_bytes: int = 0
    examples: int = 0
    epochs: float = 0.0
    notes: list[str] = field(default_factory=list)


class Method(ABC):
    """One way of getting a better predictor out of a base model and a training split."""

    name: ClassVar[str]
    label: ClassVar[str]
    """how tables call it"""
    summary: ClassVar[str]
    """one line: what it does"""
    needs: ClassVar[str] = "nothing beyond the installation"
    trains: ClassVar[bool] = True
    """whether it reads the training split (a task without one is then refused)"""
    uses_model: ClassVar[bool] = True
    memory_share: ClassVar[float] = 1.6
    """peak memory as a multiple of the base model's weights, for the plan"""
    training_passes: ClassVar[float] = 3.0
    """what training on a token costs in forward passes, for the plan: 3 where all weights are trained, 2 where adapters are"""
    Settings: ClassVar[type[Settings]] = Settings
    engine: ClassVar[tuple[str, ...]] = ()
    """modules of the engine whose code can change what it gives"""

    def __init__(self, settings: Any = None) -> None:
        self.settings: Any = settings or self.Settings()

    @abstractmethod
    def fit(self, work: Work) -> Fitted:
        """Spend the budget, return the predictor. Raises `CannotDo` for a task of the wrong kind."""

    @classmethod
    def code(cls) -> str:
        """Hash of the files that define the method and what it inherits from."""
        files = {Path(inspect.getfile(base)) for base in cls.__mro__ if issubclass(base, Method) and base is not Method}
        return code_digest(files)


def methods() -> dict[str, metadata.EntryPoint]:
    """The installed methods by name, not yet imported."""
    return {point.name: point for point in metadata.entry_points(group=GROUP)}


def find_method(name: str) -> type[Method]:
    """A method class by its entry point's name, or from ``path/to/file.py:Class``."""
    path, colon, attribute = name.rpartition(":")
    if colon and path.endswith(".py"):
        found = _from_file(Path(path).expanduser(), attribute)
    else:
        points = methods()
        if name not in points:
            raise unknown("method", name, points, mend="(or path/to/file.py:Class)")
        found = points[name].load()
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise UserError(f"method {name} is not a subclass of tunebench.Method")
    lacking = sorted(getattr(found, "__abstractmethods__", ()))
    lacking += [part for part in ("name", "label", "summary") if not isinstance(getattr(found, part, None), str)]
    if lacking:
        raise UserError(f"method {name} lacks {', '.join(lacking)}: see tunebench.Method")
    return found


def _from_file(path: Path, attribute: str) -> Any:
    if not path.is_file():
        raise UserError(f"method file {path} does not exist")
    module_name = f"tunebench_method_{file_digest(path)[:12]}"
    if module_name not in sys.modules:
        spec = importlib.util.spec_from_file_location(module_name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:  # a stranger's file may raise anything; it is theirs to mend
            del sys.modules[module_name]
            line = error.lineno if isinstance(error, SyntaxError) else _line_in(path, error)
            raise UserError(f"{path}:{line}: {type(error).__name__}: {one_line(error)}") from error
    found = getattr(sys.modules[module_name], attribute, None)
    if found is None:
        classes = [n for n, v in vars(sys.modules[module_name]).items() if isinstance(v, type) and issubclass(v, Method)]
        raise UserError(f"{path}: {unknown('class', attribute, classes)}")
    return found


def _line_in(path: Path, error: BaseException) -> int:
    """The last line of `path` that an error passed through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return (frames[-1].lineno or 1) if frames else 1


def make_method(name: str, settings: Sequence[tuple[str, Any]] = (), where: str = "") -> Method:
    """A method with its settings checked."""
    found = find_method(name)
    prefix = f"{where}: " if where else ""
    try:
        return found(found.Settings.model_validate(dict(settings)))
    except ValidationError as error:
        first = min(error.errors(), key=lambda wrong: wrong["type"] != "extra_forbidden")
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise UserError(f"{prefix}{unknown(f'setting of {name}', key, found.Settings.model_fields)}") from error
        raise UserError(f"{prefix}setting '{key}' of {name}: {first['msg']}, not {first['input']!r}") from error
