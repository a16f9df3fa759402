"""YAML read so that whatever is wrong with it can be said with file and line."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from harness.errors import UserError, one_line


class LinedDict(dict):
    """A mapping that knows where it stands: `line` of its first key, `lines` by key (from 1)."""

    line: int = 0
    lines: dict[Any, int]


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses duplicate keys and keeps lines."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> Any:
    found = LinedDict()
    found.lines = {}
    found.line = node.start_mark.line + 1
    yield found  # filled after it is known, so that anchors may point to it
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable):
            raise yaml.constructor.ConstructorError(None, None, "a key must be plain text (quote it)", key_node.start_mark)
        if key in found:
            raise yaml.constructor.ConstructorError(None, None, f"key '{key}' stands twice", key_node.start_mark)
        found[key] = loader.construct_object(value_node, deep=True)
        found.lines[key] = key_node.start_mark.line + 1


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def broken(path: Path, error: yaml.YAMLError) -> UserError:
    """What a YAML error says, with file and line."""
    mark = getattr(error, "problem_mark", None)
    said = getattr(error, "problem", None) or error
    return UserError(f"{path}:{mark.line + 1 if mark else 1}: broken YAML: {one_line(said)}")


def read_yaml(path: Path) -> LinedDict:
    """A YAML mapping from a file, nested mappings lined alike."""
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {one_line(error)}") from error
    except yaml.YAMLError as error:
        raise broken(path, error) from error
    if not isinstance(value, LinedDict):
        raise UserError(f"{path}:1: expected a mapping (key: value), found {type(value).__name__}")
    return value


def name_lines(path: Path) -> dict[str, int]:
    """The line (from 1) of every scalar in a YAML file, first occurrence: where a name was first said."""
    found: dict[str, int] = {}
    stack = [yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)]
    while stack:
        node = stack.pop()
        if isinstance(node, yaml.ScalarNode):
            line = node.start_mark.line + 1
            found[node.value] = min(line, found.get(node.value, line))
        elif isinstance(node, yaml.MappingNode):
            stack.extend(part for pair in node.value for part in pair)
        elif isinstance(node, yaml.SequenceNode):
            stack.extend(node.value)
    return found
