"""Gaps in the numbers of what an exporter sent: what was lost on the way, what came late, when it began anew."""

from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from suimon.telemetry.flow.datagrams import Places

MODULUS: Final = 1 << 32
_FARTHEST_LOST: Final = 1 << 24
_MOST_LATE: Final = 16
"""So many late ones in a row are a new beginning at a smaller number."""


class Numbered(NamedTuple):
    """Of each datagram its stream, its number in the sequence, and how much more the next one's is; negative when
    nobody knows."""

    stream: Places
    number: NDArray[np.int64]
    step: NDArray[np.int64]


class Sequence(msgspec.Struct):
    """The numbers of one stream. `reach` is how far back a number may be and still only have come late."""

    reach: int
    lost: int = 0
    late: int = 0
    resets: int = 0
    expected: int | None = None
    _late_in_row: int = 0

    def take_row(self, numbers: NDArray[np.int64], steps: NDArray[np.int64]) -> None:
        """Datagrams of which each is where the one before led to: once one is where it was expected, all are. Nobody
        knows of those whose step is negative.
        """
        for at in range(len(numbers)):
            if self.expected == numbers[at]:
                self.expected = int(numbers[-1])
                self.take(self.expected, _known(steps[-1]))
                return
            self.take(int(numbers[at]), _known(steps[at]))

    def take(self, number: int, step: int | None) -> None:
        """One datagram's `number`; the next one's is `step` more. None: nobody knows, and the next is believed."""
        ahead = (number - self.expected) % MODULUS if self.expected is not None else 0
        behind = MODULUS - ahead
        if 0 < ahead < _FARTHEST_LOST:
            self.lost += ahead
        elif ahead and behind <= self.reach and self._late_in_row < _MOST_LATE:
            # It was counted as lost when those after it came.
            self.late += 1
            self._late_in_row += 1
            self.lost -= min(self.lost, step or 0)
            return
        elif ahead:
            self.resets += 1
        self._late_in_row = 0
        self.expected = None if step is None else (number + step) % MODULUS


def _known(step: np.int64) -> int | None:
    return None if step < 0 else int(step)


def rows(of: Numbered, sequence: NDArray[np.unsignedinteger]) -> tuple[Numbered, list[int]]:
    """Datagrams by the sequence of their stream, those of each as they came; and where rows begin in which each is
    where the one before led to, as `take_row` has them."""
    shared = sequence[of.stream]
    order = np.argsort(shared, kind="stable")
    shared, stream, number, step = shared[order], of.stream[order], of.number[order] % MODULUS, of.step[order]
    follows = (shared[1:] == shared[:-1]) & (step[:-1] >= 0) & ((number + step)[:-1] % MODULUS == number[1:])
    return Numbered(stream, number, step), np.flatnonzero(np.concatenate(([True], ~follows))).tolist()
