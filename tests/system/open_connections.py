"""Many connections of many kinds that are open while something happens: which go on, how the others end, and how soon a
new one comes about.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final, Literal

import msgspec

from tests.patience import patient
from tests.system.namespaces import inside

ANSWERED_WITHIN_S: Final = 4.0
"""TCP repeats itself three times in that (RFC 6298)."""
_TRY_S, _PAUSE_S = 0.25, 0.05
_AT_ONCE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: no TIME-WAIT is left behind (socket(7))."""
Fate = Literal["goes on", "reset", "hangs"]


class Way(msgspec.Struct, frozen=True):
    """From a namespace to an address at which another listens, maybe at another L4 port there."""

    opener: str
    listener: str
    address: str
    l4_port: int
    kind: socket.SocketKind = socket.SOCK_STREAM
    listens_at: int = 0

    @property
    def tcp(self) -> bool:
        return self.kind == socket.SOCK_STREAM

    def socket(self, namespace: str, l4_port: int = 0) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        made = inside(namespace, lambda: socket.socket(family, self.kind))
        made.settimeout(patient(2))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("", l4_port))
        return made


class Open(msgspec.Struct, frozen=True):
    """Connections that came about: the ends of who opened them, and the others; of UDP one for all. `seen_as` has who
    opened them as the other end sees it.
    """

    way: Way
    near: tuple[socket.socket, ...]
    far: tuple[socket.socket, ...]
    seen_as: tuple[tuple[str, int], ...]

    @property
    def source_ports(self) -> list[int]:
        return [int(each.getsockname()[1]) for each in self.near]

    def fates(self, numbers: Iterable[int], *, opener_first: bool) -> list[Fate]:
        """What becomes of these, as far as whoever speaks first learns it."""
        chosen = list(numbers)
        near, far = [self.near[each] for each in chosen], [self.far[each] for each in chosen if self.way.tcp]
        if self.way.tcp:
            return _fates(near, far) if opener_first else _fates(far, near)
        if opener_first:
            return _fates(near)
        for number in chosen:
            self.far[0].sendto(b"!", self.seen_as[number])
        return _fates(near, said=True)


class Listening:
    """Whoever a way leads to: takes TCP connections, and answers datagrams."""

    def __init__(self, way: Way) -> None:
        self.way = way
        self.socket = way.socket(way.listener, way.listens_at or way.l4_port)
        self._peers: dict[bytes, tuple[str, int]] = {}
        self._ended = threading.Event()
        if way.tcp:
            self.socket.listen(1024)
        else:
            threading.Thread(target=self._answer, daemon=True).start()

    def opened(self, count: int, source_ports: Sequence[int] = ()) -> Open:
        """So many connections; from these L4 ports, if any are given."""
        near = [self.way.socket(self.way.opener, each) for each in source_ports or [0] * count]
        far: list[socket.socket] = []
        seen: list[tuple[str, int]] = []
        for number, each in enumerate(near):
            each.connect((self.way.address, self.way.l4_port))
            if self.way.tcp:
                taken, peer = self.socket.accept()
                far.append(taken)
            else:
                name = b"%d" % number
                each.send(name)
                assert each.recv(20) == name
                peer = self._peers[name]
            seen.append(peer[:2])
            each.setblocking(False)
        for each in far:
            each.setblocking(False)
        return Open(self.way, tuple(near), tuple(far) or (self.socket,), tuple(seen))

    def close(self) -> None:
        self._ended.set()
        self.socket.close()

    def _answer(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(OSError):
                said, peer = self.socket.recvfrom(20)
                self._peers[said] = peer
                self.socket.sendto(said, peer)


class Tries:
    """New connections by a way, one after the other."""

    def __init__(self, way: Way) -> None:
        self.way = way
        self._done: list[tuple[float, float, bool]] = []
        """When each began and ended, and whether it came about."""

    def run(self, ended: threading.Event) -> None:
        with contextlib.closing(Listening(self.way)) as listening:
            while not ended.wait(_PAUSE_S):
                began = time.monotonic()
                worked = self._try(listening)
                self._done.append((began, time.monotonic(), worked))

    def first_after(self, since: float) -> float | None:
        """How long after that moment the first one was there that began after it; None if there was none."""
        return next((ended - since for began, ended, worked in self._done if began >= since and worked), None)

    def failed_after(self, since: float) -> int:
        return sum(began >= since and not worked for began, _, worked in self._done)

    def _try(self, listening: Listening) -> bool:
        with self.way.socket(self.way.opener) as near, contextlib.suppress(OSError):
            near.settimeout(_TRY_S)
            if self.way.tcp:
                near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            near.connect((self.way.address, self.way.l4_port))
            if self.way.tcp:
                return True
            near.send(b"new")
            return near.recv(20) == b"new"
        return False


@contextmanager
def trying(ways: Mapping[str, Way]) -> Iterator[dict[str, Tries]]:
    """A thread for each, as each waits for its own."""
    ended, tries = threading.Event(), {name: Tries(way) for name, way in ways.items()}
    threads = [threading.Thread(target=each.run, args=(ended,)) for each in tries.values()]
    try:
        for thread in threads:
            thread.start()
        yield tries
    finally:
        ended.set()
        for thread in threads:
            thread.join(patient(10))


@contextmanager
def opened(ways: Mapping[str, Way], count: int, *, with_ports_of: Mapping[str, str]) -> Iterator[dict[str, Open]]:
    """So many by each way; some from the L4 ports that another's have."""
    with ExitStack() as stack:
        found: dict[str, Open] = {}
        for name, way in ways.items():
            listening = stack.enter_context(contextlib.closing(Listening(way)))
            ports = found[with_ports_of[name]].source_ports if name in with_ports_of else ()
            found[name] = listening.opened(count, ports)
            for each in (*found[name].near, *found[name].far):
                stack.enter_context(each)
            if way.tcp:  # Another may want its L4 port.
                listening.close()
        yield found


def _say(one: socket.socket) -> None:
    """Who is told by this that the connection is gone, is told again when it listens."""
    with contextlib.suppress(OSError):
        one.send(b"!")


def _fates(first: Sequence[socket.socket], second: Sequence[socket.socket] = (), *, said: bool = False) -> list[Fate]:
    """What those that speak first hear while there is time; the second answer them, or somebody else does."""
    for one in first if not said else ():
        _say(one)
    found: dict[int, Fate] = {}
    silent = set(range(len(second)))
    deadline = time.monotonic() + patient(ANSWERED_WITHIN_S)
    while len(found) < len(first) and time.monotonic() < deadline:
        for number in sorted(silent):
            if _heard(second[number]):
                silent.discard(number)
                _say(second[number])
        for number, one in enumerate(first):
            if number not in found and (fate := _heard(one)):
                found[number] = fate
        time.sleep(0.02)
    return [found.get(number, "hangs") for number in range(len(first))]


def _heard(one: socket.socket) -> Fate | None:
    try:
        return "goes on" if one.recv(100) else "reset"
    except BlockingIOError:
        return None
    except ConnectionError:
        return "reset"
