"""Datagrams from UDP sockets, thousands a call, for decoders that read them where they lie (`receiving.py`).

One socket serves any protocol, for each datagram says what it is; several addresses may be listened on, as exporters
have their habits (2055 NetFlow, 4739 IPFIX, 6343 sFlow).
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from suimon.telemetry.flow.datagrams import Datagrams
from suimon.telemetry.flow.receiving import AT_ONCE, Room, stamped

_CALLS: Final = 2
"""In a row to one socket."""
SHORTEST_NAP_S: Final = 0.05
"""While more than AT_ONCE come in that time; and after a silence, as nobody knows yet how many come."""
_FULL: Final = 0.9
"""Of AT_ONCE so many are waited for: a few more would be a batch of their own, for which Python takes as long as for a
full one."""
_FILLS_BYTES_S: Final = 20_000_000
"""What the kernel counts of 200,000 records a second, for which a smaller buffer has room while nobody reads."""
_SO_RCVBUFFORCE: Final = 33
_SO_MEMINFO: Final = 55
_MEMINFO_DROPS: Final = 8
_LOG = structlog.get_logger()


class Config(msgspec.Struct, frozen=True):
    """`listen` are (address, UDP port); "::" also hears IPv4. Datagrams gather for `nap_s` at most: a call takes many
    then, and so do decoders. The buffer has to have room for what comes meanwhile, and while detectors look at it: of
    400,000 records a second the kernel counts 35 MB. Without CAP_NET_ADMIN it is net.core.rmem_max at most."""

    listen: tuple[tuple[str, int], ...] = (("::", 2055), ("::", 4739), ("::", 6343))
    buffer_bytes: int = 32 << 20
    nap_s: float = 0.8


class Receiver:
    """`run` gives every datagram to `sink`, which has to be done with them when it returns."""

    def __init__(self, config: Config, sink: Callable[[Datagrams], None], now: Callable[[], float]) -> None:
        self._config, self._sink, self._now = config, sink, now
        self._sockets: list[socket.socket] = []
        self._lost_before = 0
        self._room = Room()

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
        loop, taken = asyncio.get_running_loop(), 0
        try:
            longest_s = min(self._config.nap_s, min(map(_buffer_bytes, self._sockets)) / _FILLS_BYTES_S)
            while True:
                if not taken:
                    await self._heard(loop)
                    nap_s, read_at = min(longest_s, SHORTEST_NAP_S), loop.time()
                await asyncio.sleep(nap_s)
                taken = sum(map(self._emptied, self._sockets))
                pace_s, read_at = loop.time() - read_at, loop.time()
                nap_s = min(longest_s, next_nap_s(nap_s, pace_s, taken))
        finally:
            self.close()

    async def _heard(self, loop: asyncio.AbstractEventLoop) -> None:
        """Something waits in a socket. While datagrams come, nobody needs to be told of that."""
        news = asyncio.Event()
        numbers = [each.fileno() for each in self._sockets]
        try:
            for each in numbers:
                loop.add_reader(each, news.set)
            await news.wait()
        finally:
            for each in numbers:
                loop.remove_reader(each)

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
        datagrams = self._room.take(source, self._now())
        if datagrams is None:
            return 0
        self._sink(datagrams)
        return len(datagrams.lengths)


def next_nap_s(nap_s: float, pace_s: float, taken: int) -> float:
    """Until there are nearly AT_ONCE, at the pace of those that came last, while it slept so long and had them read."""
    return max(SHORTEST_NAP_S, _FULL * AT_ONCE * pace_s / max(taken, 1) - (pace_s - nap_s))


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
        stamped(found)
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
