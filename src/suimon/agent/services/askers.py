"""Who asks: the port behind a source address, and how much of the service it holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from suimon.model.view import Port
from suimon.pipeline.services import addresses, asker
from suimon.pipeline.world import World


class Asker(msgspec.Struct, frozen=True):
    """A port of this host, and the address of its that it asked from."""

    port: Port
    ip: str


class Askers:
    """Finds ports by the numbers that the flows write into source addresses."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._ids: dict[int, str] = {}
        self._as_of = -1

    def find(self, address: str) -> Asker | None:
        """None for what no port of this host is, any more."""
        number, index = asker(address)
        port = self._world.port(self._by_number().get(number, ""))
        mine = addresses(port) if port else []
        return Asker(port, mine[index]) if port and index < len(mine) else None

    def ports_of_instance(self, port: Port) -> list[Port]:
        """All ports here of its instance, it first. Anybody may claim an instance's id, but not its project."""
        if not port.device_id:
            return [port]
        here = map(self._world.port, sorted(self._by_number().values()))
        whose = (port.device_id, port.project_id)
        others = [each for each in here if each and each.id != port.id and (each.device_id, each.project_id) == whose]
        return [port, *others]

    def _by_number(self) -> dict[int, str]:
        numbers = self._world.numbers
        if self._as_of != numbers.changes:
            self._ids = {number: name for name, number in numbers.dump().used["port"].items()}
            self._as_of = numbers.changes
        return self._ids


class Shares:
    """Bounds how many of something there are at a time: for each port, and for all of them."""

    def __init__(self, most_each: int, most: int) -> None:
        self._most_each = most_each
        self._most = most
        self._held: Counter[str] = Counter()

    @contextmanager
    def taken(self, port_id: str) -> Iterator[bool]:
        """Whether there was one left for the port, held for as long as the context lasts."""
        left = self._held[port_id] < self._most_each and self._held.total() < self._most
        if left:
            self._held[port_id] += 1
        try:
            yield left
        finally:
            if left:
                self._held[port_id] -= 1
            if not self._held[port_id]:
                del self._held[port_id]
