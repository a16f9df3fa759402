"""What a task says of itself in ``metadata.tunebench``, read strictly; and what can be inferred of one that says nothing."""

from __future__ import annotations

import difflib
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness.errors import UserError, unknown
from harness.taskfiles import TaskFile

Kind = Literal["classification", "multiple_choice", "entities", "generation", "instruction"]


class Source(BaseModel):
    """Where data that is not bundled comes from."""

    model_config = ConfigDict(extra="forbid")
    id: str
    revision: str


class TaskMeta(BaseModel):
    """The block ``metadata.tunebench`` of a task's YAML. Every key has a meaning; an unknown one is an error."""

    model_config = ConfigDict(extra="forbid")
    main_metric: str
    licence: str = Field(min_length=1)
    kind: Kind
    chance: float = Field(ge=0, le=1)
    chat_template: bool
    redistribute: bool
    version: int = Field(ge=1)
    source: Source | None = None
    entity_types: list[str] = []
    """kind entities: the types that an answer may name"""
    scored_types: list[str] = []
    """kind entities: those of them that count (all where none is named)"""
    data_options: dict[str, list[str | int]] = {}
    """keywords that a matrix may pass to the task's `custom_dataset`, each with the values that it may have"""

    @model_validator(mode="after")
    def _types_belong_to_entities(self) -> TaskMeta:
        if (self.kind == "entities") != bool(self.entity_types):
            raise ValueError("a task of the kind entities declares its entity_types, and no other does")
        if stray := set(self.scored_types) - set(self.entity_types):
            raise ValueError(f"scored_types names what entity_types does not: {', '.join(sorted(stray))}: declare it there")
        return self


def meta_block(file: TaskFile) -> Any:
    """The block ``metadata.tunebench`` as it stands; None where there is none."""
    metadata = file.config.get("metadata")
    return metadata.get("tunebench") if isinstance(metadata, dict) else None


def check_meta(file: TaskFile) -> TaskMeta | None:
    """The task's ``metadata.tunebench`` block, strictly; None where it has none. Needs no import of lm-eval."""
    block = meta_block(file)
    if block is None:
        return None
    try:
        return TaskMeta.model_validate(block)
    except ValidationError as error:
        raise UserError(meta_faults(file, error)[0]) from error


def meta_faults(file: TaskFile, error: ValidationError) -> list[str]:
    """Everything that is wrong with the block, a line each with file and line; misspelt keys first."""
    faults = []
    wrongs = sorted(error.errors(), key=lambda wrong: wrong["type"] != "extra_forbidden")
    misspelt = [str(wrong["loc"][-1]) for wrong in wrongs if wrong["type"] == "extra_forbidden"]
    for wrong in wrongs:
        path = [str(part) for part in wrong["loc"]]
        key = ".".join(path)
        if wrong["type"] == "extra_forbidden":
            said = str(unknown("key", path[-1], (TaskMeta if len(path) == 1 else Source).model_fields))
        elif wrong["type"] == "missing":
            if difflib.get_close_matches(path[-1], misspelt):
                continue  # a misspelt key is also a missing one: the misspelling is what to mend
            said = f"key '{key}' is missing"
            path.pop()
        else:
            reason = wrong["msg"].removeprefix("Value error, ")
            said = f"'{key}': {reason}" if path else reason
        faults.append(f"{file.where('metadata', 'tunebench', *path)}: metadata.tunebench: {said}")
    return faults


def infer(loaded: Any) -> tuple[TaskMeta, list[str]]:
    """What can be told of a task that carries no block of ours, and how each guess is said."""
    metrics = list(loaded.aggregation())
    kind: Kind = "generation"
    chance = 0.0
    if loaded.OUTPUT_TYPE == "multiple_choice":
        docs = [loaded.eval_docs[i] for i in range(min(50, len(loaded.eval_docs)))]
        choices = [tuple(loaded.doc_to_choice(doc) or ()) for doc in docs]
        kind = "classification" if len(set(choices)) == 1 and not loaded.multiple_input else "multiple_choice"
        chance = sum(1 / max(1, len(c)) for c in choices) / len(choices)
    version = loaded.VERSION
    whole = int(float(version)) if str(version).replace(".", "", 1).isdigit() else 1
    meta = TaskMeta(
        main_metric=metrics[0],
        licence="unknown",
        kind=kind,
        chance=chance,
        chat_template=False,
        redistribute=False,
        version=max(1, whole),
    )
    notes = [
        f"main metric {meta.main_metric}, kind {kind}, chance {chance:.3g}, no chat template, licence unknown, text not passed on"
    ]
    return meta, notes
