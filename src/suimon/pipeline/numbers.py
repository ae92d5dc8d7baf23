"""Small numbers for long names: what a host calls its networks, ports, group sets, routers and conjunctions in
registers, and the meters of packets.

Numbers are this host's own. They are part of the flows, so they must survive a restart (the agent keeps `dump()` with
its view, before it installs a flow that uses a new one): the same view then compiles to the same flows, and nothing is
touched. A freed number is handed out again only after all others of its kind, because a conntrack zone may still hold
connections of the port that had it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

LAST: Final = {
    "network": 0x3FFFFF,
    "port": 0x7FFE,
    "set": 0xFFFFFF,
    "router": 0xFFFFFF,
    "conj": 0xFFFFFFF,
    "meter": 0x7FFF,
    "group": 0x7FFFFF,
}
"""The kinds, and the largest number of each: a port's is also its conntrack zone, and 15 bits of its meters' ids
(`pipeline.meters`).
"""


LOCAL_ZONES: Final = 0x8000
"""A port's second conntrack zone is this plus its number: who found it at a local IP."""


class Dump(msgspec.Struct, frozen=True):
    """What survives: by kind, the numbers in use and the last one handed out."""

    used: dict[str, dict[str, int]] = {}
    latest: dict[str, int] = {}
    unflushed: frozenset[int] = frozenset()
    """Conntrack zones of ports that are gone."""


class Step(msgspec.Struct, frozen=True, array_like=True):
    """`name` of a kind got or freed a number, or what the switch remembered under it is forgotten."""

    act: Literal["give", "free", "flush"]
    kind: str
    name: str
    number: int


class Numbers:
    """Hands out numbers from 1 up, one for each (kind, name). What an older release gave beyond that is given anew."""

    def __init__(self, dump: Dump | None = None) -> None:
        dump = dump or Dump()
        self._used = {
            kind: {name: number for name, number in dump.used.get(kind, {}).items() if number <= last}
            for kind, last in LAST.items()
        }
        self._taken = {kind: set(names.values()) for kind, names in self._used.items()}
        self._latest = {kind: dump.latest.get(kind, 0) for kind in LAST}
        self.unflushed = set(dump.unflushed)
        """Numbers of ports that were freed, until the switch has forgotten what it remembers under them (`flushed`)."""
        self.changes = 0
        """Grows with every number given or freed: what was found at another count is stale."""
        self._steps: list[Step] = []

    def dump(self) -> Dump:
        used = {kind: dict(names) for kind, names in self._used.items()}
        return Dump(used, dict(self._latest), frozenset(self.unflushed))

    @property
    def steps(self) -> tuple[Step, ...]:
        """What happened since `forget_steps`, in order: made again from the dump of then, it leads to that of now."""
        return tuple(self._steps)

    def forget_steps(self) -> None:
        self._steps.clear()

    def repeat(self, step: Step) -> None:
        """Raises ValueError for what can't follow."""
        used = self._used.get(step.kind, {})
        match step.act:
            case "give" if 0 < step.number <= LAST.get(step.kind, 0) and step.number not in self._taken[step.kind]:
                self._put(step.kind, step.name, step.number)
            case "free" if used.get(step.name) == step.number:
                self.free(step.kind, step.name)
            case "flush" if step.number in self.unflushed:
                self.flushed(step.number)
            case _:
                raise ValueError(f"{step} can't follow")

    def get(self, kind: str, name: str) -> int:
        """The number of `name`, a new one if it has none. Raises OverflowError when all of the kind are in use."""
        number = self._used[kind].get(name)
        return number if number is not None else self._give(kind, name)

    def free(self, kind: str, name: str) -> int | None:
        """Forget `name`; its number, None if it had none."""
        number = self._used[kind].pop(name, None)
        if number is not None:
            self._taken[kind].discard(number)
            self._note(Step("free", kind, name, number))
            if kind == "port":
                self.unflushed.add(number)
        return number

    def zones(self) -> Iterator[int]:
        """The conntrack zones of all ports that there are, and of those whose connections aren't forgotten yet."""
        for number in {*self._taken["port"], *self.unflushed}:
            yield from (number, LOCAL_ZONES | number)

    def flushed(self, number: int) -> None:
        self.unflushed.discard(number)
        self._note(Step("flush", "port", "", number))

    def name(self, kind: str, number: int) -> str | None:
        """Who has this number: for people, not for packets."""
        return next((name for name, value in self._used[kind].items() if value == number), None)

    def _give(self, kind: str, name: str) -> int:
        taken, last = self._taken[kind], LAST[kind]
        waiting = self.unflushed if kind == "port" else frozenset()
        if len(taken) + len(waiting) >= last:
            raise OverflowError(f"all {last} numbers for a {kind} are in use on this host")
        number = self._latest[kind] % last + 1
        while number in taken or number in waiting:
            number = number % last + 1
        self._put(kind, name, number)
        return number

    def _put(self, kind: str, name: str, number: int) -> None:
        self._used[kind][name] = number
        self._taken[kind].add(number)
        self._latest[kind] = number
        self._note(Step("give", kind, name, number))

    def _note(self, step: Step) -> None:
        self.changes += 1
        self._steps.append(step)
