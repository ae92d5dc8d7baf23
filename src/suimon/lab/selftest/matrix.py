"""The matrix of limits: is what gets through what was asked for, whichever way it goes?

A limit is on one port. Each cell floods it in one direction, by one protocol, over one path, and compares what arrives
with the limit: in kilobits a second (with IP headers for UDP, the bytes of the stream for TCP) or in packets a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Final, Literal, NamedTuple, Protocol

from suimon.lab.measure import Json, Probe

Unit = Literal["kbps", "packets/s"]
Way = Literal["out", "in"]
"""As the guest sees it: what it sends, what it gets."""

_WAYS: Final[tuple[Way, ...]] = ("out", "in")
BOUNDS: Final = {"TCP": 0.10, "UDP": 0.05}
"""How far off the limit what arrives may be, as a share of it. TCP's own headers and repeats are in the limit, too."""
_OFFERED: Final = 2.5
"""Times the limit, of UDP; TCP offers what it can."""
_PORTS: Final = {"TCP": "9101", "UDP": "9100"}
_BYTES: Final = {"kbps": 1200, "packets/s": 100}
"""Of payload in a UDP packet. For packets, small ones: their bits are no limit."""
_UDP_HEADERS: Final = 28


class Limit(NamedTuple):
    unit: Unit
    value: int


class Peer(NamedTuple):
    """Another end of a path: its namespace, its address as the limited port reaches it, and that port's as it does."""

    namespace: str
    address: str
    limited_address: str


class Cell(NamedTuple):
    limit: Limit
    path: str
    way: Way
    protocol: str


class Measured(NamedTuple):
    """What arrived, in the limit's unit; `failure` says why nothing could be measured."""

    cell: Cell
    rate: float
    failure: str = ""

    @property
    def off(self) -> float:
        return self.rate / self.cell.limit.value - 1

    @property
    def held(self) -> bool:
        return not self.failure and abs(self.off) <= BOUNDS[self.cell.protocol]


class Ground(Protocol):
    """Where it is measured: the port that gets the limits is in `namespace`."""

    @property
    def namespace(self) -> str: ...

    @property
    def peers(self) -> dict[str, Peer]: ...

    def limit(self, limit: Limit) -> None:
        """From now on this one, in both directions, and no other."""


ProbeIn = Callable[..., Probe]


def measured(ground: Ground, probe: ProbeIn, limits: tuple[Limit, ...], seconds: float) -> Iterator[Measured]:
    """Each cell as it is done. `probe(namespace, *args)` runs a command of `lab/traffic.py` there."""
    for limit in limits:
        ground.limit(limit)
        for path, way, protocol in product(ground.peers, _WAYS, BOUNDS):
            yield _measure(ground, probe, Cell(limit, path, way, protocol), seconds)


def _measure(ground: Ground, probe: ProbeIn, cell: Cell, seconds: float) -> Measured:
    peer = ground.peers[cell.path]
    source, target, address = ground.namespace, peer.namespace, peer.address
    if cell.way == "in":
        source, target, address = target, source, peer.limited_address
    port, command = _PORTS[cell.protocol], "accept" if cell.protocol == "TCP" else "receive"
    sending = _udp(cell.limit) if cell.protocol == "UDP" else ("stream",)
    with probe(target, command, port, "--patience", "8", "--idle", "1") as receiver:
        receiver.ready()
        with probe(source, sending[0], address, port, "--seconds", str(seconds), *sending[1:]) as sender:
            sent = sender.result()
        told = receiver.result()
    if failure := _failure(cell, told, sent):
        return Measured(cell, 0.0, failure)
    return Measured(cell, float(told["rate_kbps" if cell.limit.unit == "kbps" else "rate_pps"]))


def _udp(limit: Limit) -> tuple[str, ...]:
    size = _BYTES[limit.unit]
    pps = _OFFERED * (limit.value * 1000 / 8 / (size + _UDP_HEADERS) if limit.unit == "kbps" else limit.value)
    return "send", "--pps", str(pps), "--size", str(size)


def _failure(cell: Cell, told: Json, sent: Json) -> str:
    if cell.protocol == "TCP":
        return "" if told["bytes"] else f"no TCP connection: {told['ended']}"
    if not told["received"]:
        return "no UDP packet arrived"
    # Who can't offer more than the limit proves nothing by staying below it.
    offered = sent["sent"] / sent["seconds"]
    wanted = float(_udp(cell.limit)[2])
    return "" if offered >= wanted * 0.6 else f"this machine sends {offered:.0f} packets/s, {wanted:.0f} were needed"
