"""Datagrams as the receiver took them: one array of bytes, so that decoders read fields of all of them at once."""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Places = NDArray[np.int64]
"""Indexes into an array of bytes."""
SLACK: Final = 64
"""Bytes behind the last datagram, so that a field may be read before it is known to be whole."""


class Datagrams(NamedTuple):
    """`flat` has datagram i at `begins[i]` and SLACK bytes at its end. It is valid until the next are received."""

    flat: Bytes
    begins: Places
    lengths: Places
    cut: NDArray[np.bool_]
    """Longer than what there was room for; the rest is lost."""
    high: NDArray[np.uint64]
    """The upper half of the source address; 0 for IPv4."""
    low: NDArray[np.uint64]
    arrived_s: NDArray[np.float64]

    def some(self, which: Places) -> "Datagrams":
        begins, lengths, cut = self.begins[which], self.lengths[which], self.cut[which]
        return Datagrams(self.flat, begins, lengths, cut, self.high[which], self.low[which], self.arrived_s[which])


def packed(payloads: Sequence[tuple[bytes, str]], arrived_s: float) -> Datagrams:
    """Datagrams of (bytes, source address), for replays."""
    lengths = np.array([len(payload) for payload, _ in payloads], np.int64)
    flat = np.frombuffer(b"".join(payload for payload, _ in payloads) + bytes(SLACK), np.uint8)
    addresses = [int(ip_address(source)) for _, source in payloads]
    high = np.array([each >> 64 for each in addresses], np.uint64)
    low = np.array([each & (1 << 64) - 1 for each in addresses], np.uint64)
    begins = np.cumsum(lengths) - lengths
    return Datagrams(
        flat, begins, lengths, np.zeros(len(lengths), bool), high, low, np.full(len(lengths), arrived_s, np.float64)
    )


def read(flat: Bytes, dtype: str, at: Places) -> NDArray[Any]:
    """A field of `dtype` at each of those places, whatever their alignment."""
    if not len(at):
        # Of none, the size may be larger than all there is.
        return np.empty(0, dtype)
    size = np.dtype(dtype).itemsize
    found: NDArray[Any] = np.ndarray((len(flat) - size + 1,), dtype, flat, 0, (1,))[at]
    return found


class Rows:
    """`size` bytes from each of those places, copied together: fields then lie at a fixed distance from each other,
    which reads several times faster than gathering each of them."""

    def __init__(self, flat: Bytes, size: int, at: Places) -> None:
        self._rows = read(flat, f"V{size}", at)

    def field(self, dtype: str, offset: int) -> NDArray[Any]:
        """That of every row, as a view."""
        if not len(self._rows):
            return np.empty(0, dtype)
        return np.ndarray(self._rows.shape, dtype, self._rows, offset, self._rows.strides)


def any_of(values: NDArray[Any], wanted: Sequence[int]) -> NDArray[np.bool_]:
    """Which of the values are among a few."""
    found: NDArray[np.bool_] = values == wanted[0]
    for each in wanted[1:]:
        found = found | (values == each)
    return found


def within(begins: Places, counts: Places, step: int) -> tuple[Places, Places]:
    """For `counts[i]` things of `step` bytes from `begins[i]` on: (i, place) of each."""
    owner = np.repeat(np.arange(len(begins)), counts)
    number = np.arange(len(owner)) - (np.cumsum(counts) - counts)[owner]
    return owner, begins[owner] + number * step
