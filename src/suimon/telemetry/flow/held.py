"""Sets of records whose template is not known yet: kept a minute, for the template may come."""

from collections import deque
from typing import Final

import msgspec

HELD_S: Final = 60.0
_MOST_BYTES: Final = 16 << 20
_MOST_BYTES_OF_ONE: Final = 1 << 20
_OVERHEAD_BYTES: Final = 200
"""What keeping one costs besides its bytes."""


class Held(msgspec.Struct, frozen=True):
    """A set's body, with what its datagram's header said."""

    stream: int
    exporter: int
    number: int
    body: bytes
    arrived_s: float
    exported_s: float
    uptime_ms: int

    @property
    def size(self) -> int:
        return len(self.body) + _OVERHEAD_BYTES


class Waiting:
    """Bounded in all and for each exporter; what has no room or waited too long is given back as lost."""

    def __init__(self) -> None:
        self._held: deque[Held] = deque()
        self._bytes = 0
        self._bytes_of: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._held)

    def put(self, held: Held) -> bool:
        """Whether there was room."""
        of_one = self._bytes_of.get(held.exporter, 0) + held.size
        if self._bytes + held.size > _MOST_BYTES or of_one > _MOST_BYTES_OF_ONE:
            return False
        self._held.append(held)
        self._bytes += held.size
        self._bytes_of[held.exporter] = of_one
        return True

    def expired(self, now_s: float) -> list[Held]:
        gone = []
        while self._held and now_s - self._held[0].arrived_s > HELD_S:
            gone.append(self._out(self._held.popleft()))
        return gone

    def take(self, wanted: set[tuple[int, int]]) -> list[Held]:
        """Those of (exporter, template id)."""
        found = [each for each in self._held if (each.exporter, each.number) in wanted]
        if found:
            self._held = deque(each for each in self._held if (each.exporter, each.number) not in wanted)
        return [self._out(each) for each in found]

    def _out(self, held: Held) -> Held:
        self._bytes -= held.size
        self._bytes_of[held.exporter] -= held.size
        return held
