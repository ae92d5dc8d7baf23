"""A file of thresholds: YAML in, the `Config` of each detector out; what is wrong is said with line and column."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple, TypeVar, get_type_hints

import msgspec
import yaml  # type: ignore[import-untyped]

T = TypeVar("T", bound=msgspec.Struct)
_LONGEST: Final = 1 << 16
_MAP: Final = "tag:yaml.org,2002:map"
OF_COLLECTORS: Final = ("mass_mail", "port_scan", "host_scan", "syn_flood", "udp_flood", "reflection", "brute_force")
"""The detectors of flow records, by name for who has no numpy; the others are controllers'."""


class Wrong(NamedTuple):
    """One thing that is wrong in a file; both counted from 1."""

    line: int
    column: int
    words: str


class ThresholdsError(ValueError):
    """A file of thresholds can't be used; `wrong` says all that is wrong in it."""

    def __init__(self, wrong: list[Wrong]) -> None:
        super().__init__("\n".join(f"line {each.line}, column {each.column}: {each.words}" for each in wrong))
        self.wrong = wrong


def read_as(kind: type[T], text: str) -> tuple[T, frozenset[str]]:
    """The defaults of `kind`, a struct with the `Config` of each detector, with what the text changes; and which
    detectors it names. Raises `ThresholdsError`.
    """
    if len(text) > _LONGEST:
        raise ThresholdsError([Wrong(1, 1, f"more than {_LONGEST} characters")])
    try:
        # What refers to itself could grow without end when it is read.
        for token in yaml.scan(text):
            if isinstance(token, yaml.AnchorToken | yaml.AliasToken):
                raise ThresholdsError([_wrong(token, "anchors and aliases are not read")])
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        wrong: list[Wrong] = []
        sections = {} if node is None else dict(_pairs(node, get_type_hints(kind), "detectors", wrong))
        found = _configs(loader, sections, get_type_hints(kind), wrong)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ThresholdsError([Wrong(mark.line + 1, mark.column + 1, str(error.problem))]) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if isinstance(error, ThresholdsError):
            raise
        raise ThresholdsError([Wrong(1, 1, f"no YAML that can be read: {type(error).__name__}")]) from error
    if wrong:
        raise ThresholdsError(wrong)
    return kind(**found), frozenset(sections)


def _configs(loader: Any, own: dict[str, Any], kinds: dict[str, Any], wrong: list[Wrong]) -> dict[str, Any]:
    found = {}
    for name, value in own.items():
        hints = get_type_hints(kinds[name], include_extras=True)
        settings = {}
        for key, setting in _pairs(value, hints, f"settings of {name}", wrong):
            try:
                settings[key] = msgspec.convert(loader.construct_object(setting, deep=True), hints[key])
            except (msgspec.ValidationError, yaml.constructor.ConstructorError) as error:
                wrong.append(_wrong(setting, f"{name}.{key}: {error}"))
        found[name] = kinds[name](**settings)
    return found


def _pairs(node: Any, known: Collection[str], what: str, wrong: list[Wrong]) -> Iterator[tuple[str, Any]]:
    """The keys of a mapping that are known, once, and their values; what else there is is wrong."""
    if not isinstance(node, yaml.MappingNode) or node.tag != _MAP:
        wrong.append(_wrong(node, f"the {what} belong here, by name"))
        return
    seen = set()
    for key, value in node.value:
        name = str(key.value)
        if name not in known:
            wrong.append(_wrong(key, f"{name!r} is none of the {what}: {', '.join(sorted(known))}"))
        elif name in seen:
            wrong.append(_wrong(key, f"{name!r} is there twice"))
        else:
            yield name, value
        seen.add(name)


def _wrong(at: Any, words: str) -> Wrong:
    return Wrong(at.start_mark.line + 1, at.start_mark.column + 1, words)
