"""What this host's network devices have counted, from the kernel: also one that is gone, by what it said of it last.

The kernel tells everybody of a device that is deleted, or leaves for another namespace, with its counters as they were
at the end (RTM_DELLINK, rtnetlink(7)). Nobody else knows them: Open vSwitch forgets a port with its device.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple, Never

import structlog

from suimon.dataplane.netlink import HEADER, MOST_BYTES, REQUEST, attributes, opened, parts

log = structlog.get_logger()

_NEW_LINK, _DELETED_LINK, _GET_LINK = 16, 17, 18
_LINKS: Final = 1
"""The group that hears of links (RTMGRP_LINK)."""
_NAME, _COUNTERS = 3, 23
"""IFLA_IFNAME, IFLA_STATS64."""
_LINK: Final = struct.Struct("=BxHiII")
_FIRST_COUNTERS: Final = struct.Struct("=4Q")
_BUFFER_BYTES: Final = 1 << 20
_MOST_GONE: Final = 1000


class Counted(NamedTuple):
    """`received` is by this host, from whoever is behind the device."""

    received_packets: int
    sent_packets: int
    received_bytes: int
    sent_bytes: int


class _Link(NamedTuple):
    kind: int
    family: int
    ifindex: int
    name: str
    counted: Counted | None


class Devices:
    """`run` hears of those that go, until cancelled; of one that went before, nothing is known."""

    def __init__(self) -> None:
        self._gone: dict[tuple[int, str], Counted] = {}
        self._hearing: socket.socket | None = None

    async def run(self) -> Never:
        loop = asyncio.get_running_loop()
        with opened("route") as hearing:
            hearing.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            hearing.setblocking(False)
            hearing.bind((0, _LINKS))
            self._hearing = hearing
            loop.add_reader(hearing, self._hear)
            try:
                await loop.create_future()
            finally:
                loop.remove_reader(hearing)
                self._hearing = None
        raise AssertionError("nothing ever comes of it")

    def counted(self, ifindex: int, name: str) -> Counted | None:
        """By the device of that number and name, now or when it went; None: nobody knows."""
        found = next((link for link in _ask(ifindex) if link.kind == _NEW_LINK and link.name == name), None)
        if found is not None:
            return found.counted
        self._hear()
        return self._gone.get((ifindex, name))

    def _hear(self) -> None:
        """All that the kernel has said by now."""
        while self._hearing is not None:
            try:
                said = self._hearing.recv(MOST_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                log.warning("devices_missed", effect="what those counted last that went just now is not known")
                continue
            for link in _links(said):
                # Bridges say of their ports, by a family of their own, that they are no longer theirs.
                if link.kind == _DELETED_LINK and link.family == socket.AF_UNSPEC and link.counted:
                    self._gone[link.ifindex, link.name] = link.counted
            while len(self._gone) > _MOST_GONE:
                del self._gone[next(iter(self._gone))]


def _ask(ifindex: int) -> list[_Link]:
    """None for a number that no device has."""
    body = _LINK.pack(socket.AF_UNSPEC, 0, ifindex, 0, 0)
    with opened("route") as asking:
        asking.send(HEADER.pack(HEADER.size + len(body), _GET_LINK, REQUEST, 1, 0) + body)
        return list(_links(asking.recv(MOST_BYTES)))


def _links(said: bytes) -> Iterator[_Link]:
    for kind, body in parts(said, HEADER):
        if kind in (_NEW_LINK, _DELETED_LINK) and len(body) >= _LINK.size:
            family, _, ifindex, _, _ = _LINK.unpack_from(body)
            has = attributes(body[_LINK.size :])
            counters = has.get(_COUNTERS, b"")
            counted = Counted(*_FIRST_COUNTERS.unpack_from(counters)) if len(counters) >= _FIRST_COUNTERS.size else None
            yield _Link(kind, family, ifindex, has.get(_NAME, b"").rstrip(b"\0").decode(errors="replace"), counted)
