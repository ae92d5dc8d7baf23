"""Datagrams out of a socket into one array: by receiving.c, or by `recvmmsg` through ctypes with equal results.

C asks the kernel for a few at a time, of which what it says stays in the nearest cache, and reads that in one pass.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from suimon.model.compiled import AT, NUMBER, Function, library, place
from suimon.telemetry.flow.datagrams import SLACK, Datagrams

AT_ONCE: Final = 8192
_ROW_BYTES: Final = 1536
"""What a datagram has room for at first. With rows as long as the longest, fields would lie on pages of their own."""
_REST_BYTES: Final = 7680
"""What is behind that of longer ones, up to jumbo frames."""
_NAME_BYTES: Final = 28
_SO_TIMESTAMPNS: Final = 35
_STAMP: Final = np.dtype([("bytes", "u8"), ("level", "i4"), ("type", "i4"), ("seconds", "i8"), ("nanoseconds", "i8")])
"""struct cmsghdr of cmsg(3), and its struct timespec, on 64 bits."""
_OLDEST_NS: Final = 60_000_000_000
"""What seems to have waited longer, or to come from the future, had its clock set meanwhile."""
_RESTS: Final = 64
"""As many as receiving.c asks for at a time."""
_MESSAGE: Final = np.dtype(
    {  # struct mmsghdr of recvmmsg(2), on 64 bits.
        "names": ["name", "name_bytes", "parts", "part_count", "control", "control_bytes", "flags", "bytes"],
        "formats": ["u8", "u4", "u8", "u8", "u8", "u8", "i4", "u4"],
        "offsets": [0, 8, 16, 24, 32, 40, 48, 56],
        "itemsize": 64,
    }
)
_PART: Final = np.dtype([("base", "u8"), ("bytes", "u8")])
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_NOTHING: Final = (errno.EAGAIN, errno.EINTR)


def stamped(source: socket.socket) -> None:
    """The kernel is to say when it had each datagram (socket(7))."""
    source.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)


class Room:
    """For AT_ONCE datagrams. Those that were taken last are good until the next are."""

    def __init__(self) -> None:
        self._take = _Plain().take if _LIBRARY is None else _Compiled().take

    def take(self, source: socket.socket, now_s: float) -> Datagrams | None:
        """What waits there, as far as there is room; None when nothing does. What has waited in a `stamped` socket
        arrived so much before `now_s`. Raises OSError."""
        return self._take(source, now_s)


class _Compiled:
    def __init__(self) -> None:
        # Of each row that is too short, there is room for all of the datagram behind them.
        self._flat = np.zeros(AT_ONCE * (2 * _ROW_BYTES + _REST_BYTES) + SLACK, np.uint8)
        self._rest = np.zeros((_RESTS, _REST_BYTES), np.uint8)
        self._places = np.zeros((2, AT_ONCE), np.int64)
        self._cut = np.zeros(AT_ONCE, np.bool_)
        self._halves = np.zeros((2, AT_ONCE), np.uint64)
        self._stamps = np.zeros(AT_ONCE, np.int64)
        numbers = AT_ONCE, _ROW_BYTES, _REST_BYTES
        each = *self._places, self._cut, *self._halves, self._stamps
        self._told = np.array([place(self._flat), place(self._rest), *numbers, *map(place, each)], np.int64)

    def take(self, source: socket.socket, now_s: float) -> Datagrams | None:
        assert _LIBRARY is not None, "there is no receiving.c"
        now_ns = time.time_ns()
        count = _LIBRARY.suimon_receive(source.fileno(), place(self._told))
        if count <= 0:
            _raised(-count)
            return None
        (begins, lengths), (high, low) = self._places[:, :count], self._halves[:, :count]
        arrived_s = _arrived_s(self._stamps[:count], now_ns, now_s)
        return Datagrams(self._flat, begins, lengths, self._cut[:count], high, low, arrived_s)


class _Plain:
    def __init__(self) -> None:
        self._rows = np.zeros(AT_ONCE * _ROW_BYTES + SLACK, np.uint8)
        self._rest = np.zeros((AT_ONCE, _REST_BYTES), np.uint8)
        self._names = np.zeros((AT_ONCE, _NAME_BYTES), np.uint8)
        self._stamps = np.zeros(AT_ONCE, _STAMP)
        self._parts = np.zeros((AT_ONCE, 2), _PART)
        self._begins = np.arange(AT_ONCE) * _ROW_BYTES
        self._parts["base"][:, 0] = place(self._rows) + self._begins
        self._parts["base"][:, 1] = place(self._rest) + np.arange(AT_ONCE) * _REST_BYTES
        self._parts["bytes"] = _ROW_BYTES, _REST_BYTES
        self._messages = np.zeros(AT_ONCE, _MESSAGE)
        self._messages["name"] = place(self._names) + np.arange(AT_ONCE) * _NAME_BYTES
        self._messages["parts"] = place(self._parts) + np.arange(AT_ONCE) * 2 * _PART.itemsize
        self._messages["part_count"] = 2
        self._messages["control"] = place(self._stamps) + np.arange(AT_ONCE) * _STAMP.itemsize

    def take(self, source: socket.socket, now_s: float) -> Datagrams | None:
        self._messages["name_bytes"], self._messages["control_bytes"] = _NAME_BYTES, _STAMP.itemsize
        self._stamps["type"] = 0
        now_ns = time.time_ns()
        messages = ctypes.c_void_p(place(self._messages))
        count: int = _LIBC.recvmmsg(source.fileno(), messages, AT_ONCE, socket.MSG_DONTWAIT, None)
        if count <= 0:
            _raised(ctypes.get_errno() if count else 0)
            return None
        lengths = self._messages["bytes"][:count].astype(np.int64)
        cut = (self._messages["flags"][:count] & socket.MSG_TRUNC) != 0
        flat, begins = self._rows, self._begins[:count]
        if len(long := np.flatnonzero(lengths > _ROW_BYTES)):
            pieces, end, begins = [self._rows], len(self._rows), begins.copy()
            for each in long.tolist():
                begin, begins[each] = int(begins[each]), end
                rest = self._rest[each, : lengths[each] - _ROW_BYTES]
                pieces += [self._rows[begin : begin + _ROW_BYTES], rest]
                end += _ROW_BYTES + len(rest)
            flat = np.concatenate([*pieces, np.zeros(SLACK, np.uint8)])
        high, low = _sources(self._names[:count], source.family)
        said = self._stamps[:count]
        is_time = (said["level"] == socket.SOL_SOCKET) & (said["type"] == _SO_TIMESTAMPNS)
        stamps = np.where(is_time, said["seconds"] * 1_000_000_000 + said["nanoseconds"], 0)
        return Datagrams(flat, begins, lengths, cut, high, low, _arrived_s(stamps, now_ns, now_s))


def _raised(code: int) -> None:
    if code and code not in _NOTHING:
        raise OSError(code, f"receiving flow records: {os.strerror(code)}")


def _arrived_s(stamps: NDArray[np.int64], now_ns: int, now_s: float) -> NDArray[np.float64]:
    """The receiver's clock needn't be the kernel's, so only what lies between is taken from that."""
    ages_ns = now_ns - stamps
    ages_ns[(ages_ns < 0) | (ages_ns > _OLDEST_NS)] = 0
    found: NDArray[np.float64] = now_s - ages_ns / 1e9
    return found


def _sources(names: NDArray[np.uint8], family: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    if family == socket.AF_INET:
        return np.zeros(len(names), np.uint64), _halves(names, ">u4", 4)
    high, low = (_halves(names, ">u8", at) for at in (8, 16))
    low = np.where((high == 0) & (low >> np.uint64(32) == 0xFFFF), low & np.uint64(0xFFFFFFFF), low)
    # ::1 is this machine, as 127.0.0.1 is; and high 0 means IPv4 from here on.
    return high, np.where((high == 0) & (low == 1), np.uint64(0x7F000001), low)


def _halves(names: NDArray[np.uint8], kind: str, at: int) -> NDArray[np.uint64]:
    return np.ndarray(len(names), kind, names, at, names.strides[:1]).astype(np.uint64)


_FUNCTIONS: Final = {"suimon_receive": Function((NUMBER, AT), NUMBER)}


def _loaded(folder: str) -> ctypes.CDLL | None:
    return library(folder, __file__, _FUNCTIONS)


_LIBRARY = _loaded(__file__.rpartition("/")[0])
