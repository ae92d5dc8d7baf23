"""What a switch that could decode a flow will decode again: the flow's shape, all of it but addresses and numbers.

Whether a bundle can be decoded has to be known before it is committed (`Connection.commit`), but asking costs a turn of
the switch's main loop and of ours. Flows of shapes that it has decoded since it was connected need not be asked about.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from suimon.pipeline.fields import FIELDS
from suimon.pipeline.flow import Action, Conjunction, Entry, FlowKey, SetField, UseGroup, UseMeter

_JUDGED: Final = frozenset({"in_port", "ct_state", "nd_reserved"})
"""Wide, but not of any value."""
_FREE: Final = frozenset(name for name, field in FIELDS.items() if field.bits > 16 and name not in _JUDGED)
"""Fields that take any value, and on whose value no other depends."""
_MOST_SHAPES: Final = 4096

Shape = tuple[object, ...]


class Shapes:
    """Those that one switch has decoded; it begins with none whenever it is connected to."""

    def __init__(self) -> None:
        self._decoded: set[Shape] = set()
        self._refused: set[Shape] = set()

    def all_decoded(self, shapes: Iterable[Shape | None]) -> bool:
        return self._decoded.issuperset(shapes)

    def decoded(self, shapes: Iterable[Shape | None]) -> None:
        """The switch took them. One of which it once refused something stays unknown."""
        if len(self._decoded) > _MOST_SHAPES:
            self._decoded.clear()
        self._decoded.update(each for each in shapes if each is not None and each not in self._refused)

    def refused(self, shapes: Iterable[Shape | None]) -> None:
        """Their values matter after all."""
        found = {each for each in shapes if each is not None}
        self._refused |= found
        self._decoded -= found


def shape(key: object, entry: object) -> Shape | None:
    """Of a flow that is set, or deleted (None). None for what may be refused for what else the switch holds: groups,
    and flows that use groups or meters.
    """
    if not isinstance(key, FlowKey):
        return None
    matched = tuple([(name, mask) if name in _FREE else (name, value, mask) for name, value, mask in key.match])
    if not isinstance(entry, Entry):
        return key.stage, matched
    done = tuple([_kind(action) for action in entry.actions])
    return None if None in done else (key.stage, matched, done)


def _kind(action: Action) -> object:
    match action:
        case SetField(field, _, mask) if field in _FREE:
            return field, mask
        case Conjunction(_, clause, clauses):
            return clause, clauses
        case UseMeter() | UseGroup():
            return None
    return action
