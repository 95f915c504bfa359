"""Settings files as YAML, read so that nothing in them is taken for something else without a word: a key that stands
twice, a key or a date that YAML reads as another kind of value than was meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, Node

from contracts.errors import YamlUnreadable

_TEXT, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """Safe YAML whose keys are texts, each once."""

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.tag == _MERGE:
                continue
            if key.tag != _TEXT:
                raise ConstructorError(None, None, f"the key {_said(key)} is no text; put it in quotes", key.start_mark)
            if key.value in seen:
                raise ConstructorError(None, None, f"the key {key.value} stands here twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:
            raise ConstructorError(
                None, None, f"{_said(node)} is no such day or number ({error}); put it in quotes", node.start_mark
            ) from error


def _said(node: Node) -> str:
    return str(node.value)[:40] if isinstance(node.value, str) else "here"


def load(path: Path) -> dict[str, Any]:
    """The keys and values of a file. Raises YamlUnreadable, with the line and column where there is one."""
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a safe loader
    except (OSError, UnicodeDecodeError) as error:
        raise YamlUnreadable(
            f"{path.name} can't be read: {error}", fix="make it a text file in UTF-8 that this user may read"
        ) from error
    except RecursionError as error:
        raise YamlUnreadable(f"{path.name} is nested too deeply", fix="compare with docs/configuration.md") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        why = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
        raise YamlUnreadable(f"{path.name}{where}: {why}", fix="correct the file there") from error
    if not isinstance(found, dict):
        raise YamlUnreadable(f"{path.name} holds no keys and values", fix="compare with docs/configuration.md")
    return found
