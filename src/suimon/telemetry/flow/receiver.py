"""Datagrams from UDP sockets, thousands a call: `recvmmsg` by ctypes into one array that decoders read where it lies.

One socket serves any protocol, for each datagram says what it is; several addresses may be listened on, as exporters
have their habits (2055 NetFlow, 4739 IPFIX, 6343 sFlow).
"""

import asyncio
import ctypes
import errno
import os
import socket
import struct
from collections.abc import Callable
from typing import Any, Final

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from suimon.telemetry.flow.datagrams import SLACK, Datagrams

AT_ONCE: Final = 4096
_CALLS: Final = 4
"""In a row to one socket."""
_ROW_BYTES: Final = 1536
"""What a datagram has room for at first. With rows as long as the longest, fields would lie on pages of their own."""
_SHORTEST_NAP_S: Final = 0.05
"""While more than AT_ONCE come in that time."""
_FILLS_BYTES_S: Final = 20_000_000
"""What the kernel counts of 200,000 records a second, for which a smaller buffer has room while nobody reads."""
_REST_BYTES: Final = 7680
"""What is behind that of longer ones, up to jumbo frames."""
_SO_RCVBUFFORCE: Final = 33
_SO_MEMINFO: Final = 55
_MEMINFO_DROPS: Final = 8
_NAME_BYTES: Final = 28
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
_LOG = structlog.get_logger()


class Config(msgspec.Struct, frozen=True):
    """`listen` are (address, UDP port); "::" also hears IPv4. Datagrams gather for `nap_s` at most: a call takes many
    then, and so do decoders. The buffer has to have room for what comes meanwhile, and while detectors look at it: of
    400,000 records a second the kernel counts 35 MB. Without CAP_NET_ADMIN it is net.core.rmem_max at most."""

    listen: tuple[tuple[str, int], ...] = (("::", 2055), ("::", 4739), ("::", 6343))
    buffer_bytes: int = 32 << 20
    nap_s: float = 0.4


class Receiver:
    """`run` gives every datagram to `sink`, which has to be done with them when it returns."""

    def __init__(self, config: Config, sink: Callable[[Datagrams], None], now: Callable[[], float]) -> None:
        self._config, self._sink, self._now = config, sink, now
        self._sockets: list[socket.socket] = []
        self._lost_before = 0
        self._rows = np.zeros(AT_ONCE * _ROW_BYTES + SLACK, np.uint8)
        self._rest = np.zeros((AT_ONCE, _REST_BYTES), np.uint8)
        self._names = np.zeros((AT_ONCE, _NAME_BYTES), np.uint8)
        self._parts = np.zeros((AT_ONCE, 2), _PART)
        self._begins = np.arange(AT_ONCE) * _ROW_BYTES
        self._parts["base"][:, 0] = _address(self._rows) + self._begins
        self._parts["base"][:, 1] = _address(self._rest) + np.arange(AT_ONCE) * _REST_BYTES
        self._parts["bytes"] = _ROW_BYTES, _REST_BYTES
        self._messages = np.zeros(AT_ONCE, _MESSAGE)
        self._messages["name"] = _address(self._names) + np.arange(AT_ONCE) * _NAME_BYTES
        self._messages["parts"] = _address(self._parts) + np.arange(AT_ONCE) * 2 * _PART.itemsize
        self._messages["part_count"] = 2

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """What is listened on."""
        return [each.getsockname()[:2] for each in self._sockets]

    @property
    def lost(self) -> int:
        """Datagrams for which the sockets had no room, so far; the kernel doesn't say whose they were."""
        return self._lost_before + sum(_drops(each) for each in self._sockets)

    def open(self) -> None:
        """Raises OSError when an address can't be had; then none is kept."""
        try:
            for host, port in self._config.listen:
                self._sockets.append(_bound(host, port, self._config.buffer_bytes))
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        self._lost_before = self.lost
        for each in self._sockets:
            each.close()
        self._sockets = []

    async def run(self) -> None:
        if not self._sockets:
            self.open()
        loop, news = asyncio.get_running_loop(), asyncio.Event()
        try:
            for each in self._sockets:
                self._listen(loop, each, news)
            nap_s = longest_s = min(self._config.nap_s, min(map(_buffer_bytes, self._sockets)) / _FILLS_BYTES_S)
            read_at = loop.time()
            while True:
                await news.wait()
                await asyncio.sleep(nap_s)
                news.clear()
                taken = 0
                for each in self._sockets:
                    taken += self._emptied(each)
                    self._listen(loop, each, news)
                pace_s, read_at = loop.time() - read_at, loop.time()
                nap_s = min(longest_s, max(_SHORTEST_NAP_S, pace_s * AT_ONCE / max(taken, 1)))
        finally:
            for each in self._sockets:
                loop.remove_reader(each)
            self.close()

    def _listen(self, loop: asyncio.AbstractEventLoop, source: socket.socket, news: asyncio.Event) -> None:
        def heard() -> None:
            # Otherwise the loop would tell of it again and again until the nap is over.
            loop.remove_reader(source)
            news.set()

        loop.add_reader(source, heard)

    def receive(self) -> int:
        """Gives what is there to the sink (AT_ONCE of a socket at most); how many these were. Doesn't wait."""
        return sum(self._receive(each) for each in self._sockets)

    def _emptied(self, source: socket.socket) -> int:
        """Not until nothing is left: others on this loop get their turn, too."""
        taken = 0
        for _ in range(_CALLS):
            count = self._receive(source)
            taken += count
            if count < AT_ONCE:
                break
        return taken

    def _receive(self, source: socket.socket) -> int:
        self._messages["name_bytes"] = _NAME_BYTES
        count: int = _LIBC.recvmmsg(
            source.fileno(), ctypes.c_void_p(_address(self._messages)), AT_ONCE, socket.MSG_DONTWAIT, None
        )
        if count < 0:
            if (code := ctypes.get_errno()) in _NOTHING:
                return 0
            raise OSError(code, f"receiving flow records: {os.strerror(code)}")
        if count:
            self._sink(self._taken(count, source.family))
        return count

    def _taken(self, count: int, family: int) -> Datagrams:
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
        high, low = _sources(self._names[:count], family)
        return Datagrams(flat, begins, lengths, cut, high, low, np.full(count, self._now()))


def _sources(names: NDArray[np.uint8], family: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    if family == socket.AF_INET:
        return np.zeros(len(names), np.uint64), _halves(names, ">u4", 4)
    high, low = (_halves(names, ">u8", at) for at in (8, 16))
    low = np.where((high == 0) & (low >> np.uint64(32) == 0xFFFF), low & np.uint64(0xFFFFFFFF), low)
    # ::1 is this machine, as 127.0.0.1 is; and high 0 means IPv4 from here on.
    return high, np.where((high == 0) & (low == 1), np.uint64(0x7F000001), low)


def _halves(names: NDArray[np.uint8], kind: str, at: int) -> NDArray[np.uint64]:
    return np.ndarray(len(names), kind, names, at, names.strides[:1]).astype(np.uint64)


def _bound(host: str, port: int, buffer_bytes: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        if family == socket.AF_INET6:
            found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            found.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer_bytes)
        except PermissionError:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        found.bind((host, port))
    except OSError:
        found.close()
        raise
    _LOG.info("flow_records_listening", address=host, port=found.getsockname()[1], buffer_bytes=_buffer_bytes(found))
    return found


def _buffer_bytes(source: socket.socket) -> int:
    """As it was asked for: the kernel doubles that, to have room for its own."""
    return source.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2


def _drops(source: socket.socket) -> int:
    """SK_MEMINFO_DROPS (sock_diag(7)): what this socket had no room for."""
    size = 4 * (_MEMINFO_DROPS + 1)
    drops: int = struct.unpack_from("=I", source.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, size), 4 * _MEMINFO_DROPS)[
        0
    ]
    return drops


def _address(array: NDArray[Any]) -> int:
    return int(array.ctypes.data)
