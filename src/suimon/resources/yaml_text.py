"""YAML that somebody wrote, as plain values with the place of each: nothing is built from tags, nothing grows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import yaml  # type: ignore[import-untyped]

from suimon.model.errors import BadRequest

_DEPTH: Final = 10
_BEGINS: Final = (
    yaml.BlockSequenceStartToken, yaml.BlockMappingStartToken, yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken,
)  # fmt: skip
_ENDS: Final = (yaml.BlockEndToken, yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken)
Path = tuple[str | int, ...]
Marks = Mapping[Path, yaml.Mark]


def read_yaml(text: str) -> tuple[object, Marks]:
    """The values, and where each of them stands. Raises BadRequest with line, column and what is wrong there."""
    marks: dict[Path, yaml.Mark] = {}
    try:
        return _plain(_composed(text), (), marks), marks
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise wrong_at(mark, str(getattr(error, "problem", None) or "this is not YAML")) from None


def nearest(marks: Marks, path: Path) -> yaml.Mark | None:
    """Where that stands; where what it is part of stands, when it doesn't."""
    while path and path not in marks:
        path = path[:-1]
    return marks.get(path)


def wrong_at(mark: yaml.Mark | None, words: str) -> BadRequest:
    """An error that says where."""
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return BadRequest(f"{where}{words}")


def _composed(text: str) -> yaml.Node | None:
    """Raises YAMLError, also for aliases, which would make much of a short text, and for what is too deep as soon as it
    is: reading on takes the square of the depth.
    """
    depth = 0
    for token in yaml.scan(text, yaml.SafeLoader):
        depth += isinstance(token, _BEGINS) - isinstance(token, _ENDS)
        if depth > _DEPTH + 1:
            raise yaml.MarkedYAMLError(problem="too deep", problem_mark=token.start_mark)
        if isinstance(token, yaml.AliasToken):
            raise yaml.MarkedYAMLError(problem="aliases are not read", problem_mark=token.start_mark)
    return yaml.compose(text, yaml.SafeLoader)


def _plain(node: yaml.Node | None, path: Path, marks: dict[Path, yaml.Mark]) -> object:
    """The node's values; where each of them stands goes into `marks`. Raises YAMLError."""
    if node is None:
        return None
    marks[path] = node.start_mark
    if len(path) > _DEPTH:
        raise yaml.MarkedYAMLError(problem="too deep", problem_mark=node.start_mark)
    match node:
        case yaml.MappingNode():
            made: dict[str, object] = {}
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode) or key.value in made:
                    raise yaml.MarkedYAMLError(problem="a key twice, or no word", problem_mark=key.start_mark)
                made[key.value] = _plain(value, (*path, key.value), marks)
                marks[*path, key.value] = key.start_mark
            return made
        case yaml.SequenceNode():
            return [_plain(value, (*path, number), marks) for number, value in enumerate(node.value)]
    try:
        # Only for the value of one scalar, by the same safe rules as the rest.
        return yaml.SafeLoader("").construct_object(node)
    except (ValueError, LookupError, AttributeError, TypeError):
        # A tag that the text doesn't fit (`!!int`, `!!bool x`, `!!timestamp x`) breaks PyYAML in many ways.
        raise yaml.MarkedYAMLError(problem="no such value", problem_mark=node.start_mark) from None
