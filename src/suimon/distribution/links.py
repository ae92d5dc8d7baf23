"""The open streams to hosts, and which of them hold a scope."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from suimon.distribution.frames import encode_scopes
from suimon.model.things import Host

_CHUNK_BYTES: Final = 64 << 10
"""Frames that wait go together up to here, so that a slow host still takes some in its time."""


class Link:
    """One host's stream: what is still to be sent, the scopes it holds, the revision of the last frame with news.

    A reader that is too slow loses its link, not our memory: it comes back with its position and gets what it missed.
    """

    def __init__(self, host: Host, backlog_bytes: int) -> None:
        self.host = host.name
        self.credential_hash = host.credential_hash
        self.schema = host.schema
        self.closed = False
        self.revision = 0
        self.missing: frozenset[str] = frozenset()
        """Ports whose interfaces are there, and of which the host was told nothing when it reported last …"""
        self.missed_at_s = -math.inf
        """… and when there was one more of them, by the clock of `time.monotonic`."""
        self.scopes: frozenset[str] = frozenset()
        self.encoded_scopes = msgspec.Raw(b"[]")
        self._frames: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._backlog_bytes = backlog_bytes
        self._woken = asyncio.Event()

    def hold(self, scopes: frozenset[str]) -> None:
        self.scopes = scopes
        self.encoded_scopes = encode_scopes(scopes)

    def send(self, frame: bytes, *, wake: bool = True) -> None:
        """Queue a frame; closes the link if too much waits already. One frame alone is never too much.

        Without `wake` it waits for the next one that wakes the reader, or for `wake`.
        """
        if self._frames and self._waiting_bytes + len(frame) > self._backlog_bytes:
            self.close()
        if self.closed:
            return
        self._frames.append(frame)
        self._waiting_bytes += len(frame)
        if wake:
            self._woken.set()

    def miss(self, port_ids: frozenset[str], now_s: float) -> None:
        """The host says which ports it misses: what waits may tell of them."""
        if port_ids - self.missing:
            self.missed_at_s = now_s
            self.wake()
        self.missing = port_ids

    def wake(self) -> None:
        """Nothing that was queued waits any more."""
        if self._frames:
            self._woken.set()

    async def receive(self, timeout_s: float) -> bytes | None:
        """The next frames; None when the link is closed. TimeoutError when there was nothing for so long."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._woken.wait()
        except TimeoutError:
            if not self._frames:
                raise
        if self.closed:
            return None
        taken = bytearray()
        while self._frames and len(taken) < _CHUNK_BYTES:
            taken += self._frames.popleft()
        self._waiting_bytes -= len(taken)
        if not self._frames:
            self._woken.clear()
        return bytes(taken)

    def close(self) -> None:
        self.closed = True
        self._frames.clear()
        self._waiting_bytes = 0
        self._woken.set()


class Gathering:
    """Links with frames that wait for company: they tell of ports that aren't up, so nobody misses them yet.

    The first ones after a pause go at once, later ones when the pause is over, or when something is heard of one of
    these ports before.
    """

    def __init__(self, pause_s: float) -> None:
        self._pause_s = pause_s
        self._links: set[Link] = set()
        self._ports: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None

    def put(self, links: Iterable[Link], ports: Iterable[str]) -> None:
        """Links with frames that tell of these ports."""
        self._links.update(links)
        self._ports.update(ports)
        if self._timer is None:
            self._over()

    def hear(self, ports: Collection[str]) -> None:
        """Something happened to these ports; maybe they are up."""
        if not self._ports.isdisjoint(ports):
            self._let_go()

    def _over(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._pause_s, self._over) if self._links else None
        self._let_go()

    def _let_go(self) -> None:
        for link in self._links:
            link.wake()
        self._links.clear()
        self._ports.clear()


class Links:
    """All links by host, one each, and by scope, so that finding who is concerned costs by those concerned.

    They change between two batches of the log only. A link that was closed stays until it is replaced or a change
    concerns it.
    """

    def __init__(self) -> None:
        self._by_host: dict[str, Link] = {}
        self._by_scope: dict[str, set[Link]] = {}

    def get(self, host: str) -> Link | None:
        return self._by_host.get(host)

    def open_hosts(self) -> list[str]:
        return [host for host, link in self._by_host.items() if not link.closed]

    def holders(self, scope: str) -> Collection[Link]:
        return self._by_scope.get(scope, ())

    def add(self, link: Link) -> None:
        """Also closes the host's older link: a host is one reader."""
        older = self._by_host.get(link.host)
        if older is not None:
            older.close()
            self.remove(older)
        self._by_host[link.host] = link
        for scope in link.scopes:
            self._by_scope.setdefault(scope, set()).add(link)

    def rescope(self, link: Link, scopes: frozenset[str]) -> None:
        self._forget(link, link.scopes - scopes)
        for scope in scopes - link.scopes:
            self._by_scope.setdefault(scope, set()).add(link)
        link.hold(scopes)

    def remove(self, link: Link) -> None:
        """Does nothing for a link that another one has replaced."""
        if self._by_host.get(link.host) is link:
            del self._by_host[link.host]
            self._forget(link, link.scopes)

    def close(self) -> None:
        for link in self._by_host.values():
            link.close()
        self._by_host.clear()
        self._by_scope.clear()

    def _forget(self, link: Link, scopes: Iterable[str]) -> None:
        for scope in scopes:
            holders = self._by_scope[scope]
            holders.discard(link)
            if not holders:
                del self._by_scope[scope]
