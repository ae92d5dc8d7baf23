"""Who moved here is announced, so that neighbours and the switches on the way learn of it: gratuitous ARP (RFC 5227, 3)
and unsolicited neighbour advertisements (RFC 4861, 7.2.6).

A state machine without I/O: the agent says for which addresses it speaks now, and sends the frames that are due. Each
new one is announced `times` times, for a frame may be lost; all together at `rate_per_s` at most, however many come at
once. `now` is any clock in seconds that only goes forward.
"""

from __future__ import annotations

import struct
from collections.abc import Set

import msgspec

from suimon.agent.neighbours import Outgoing, Source, advertised
from suimon.agent.packets import ARP_REQUEST, BROADCAST_MAC, ETH_ARP, NO_MAC, Arp, Ethernet
from suimon.agent.packets6 import ALL_NODES, ip6_bytes

_ROUTER, _OVERRIDE = 0x80000000, 0x20000000


class Config(msgspec.Struct, frozen=True):
    times: int = 3
    pause_s: float = 1.0
    rate_per_s: float = 100.0
    burst: int = 50


class _Pending(msgspec.Struct):
    due_at: float
    left: int


class Announcements:
    """What is spoken for, and which of it is still to be announced, the longest waiting first."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._spoken_for: Set[Source] = frozenset()
        self._pending: dict[Source, _Pending] = {}
        self._paid_until = 0.0
        """When all that was sent has had its share of the rate."""

    def speak_for(self, sources: Set[Source], now: float) -> None:
        """All addresses that are this host's now: those that it had not before are news."""
        for gone in self._spoken_for - sources:
            self._pending.pop(gone, None)
        self._announce(sources - self._spoken_for, now)
        self._spoken_for = frozenset(sources)

    def begin_again(self, now: float) -> None:
        """Another host may have drawn traffic to it for addresses that are this host's."""
        self._announce(self._spoken_for, now)

    def due(self, now: float) -> list[Outgoing]:
        """The frames to send now."""
        frames = []
        for source, pending in list(self._pending.items()):
            if max(pending.due_at, self._allowed_at) > now:
                continue
            self._paid_until = max(self._paid_until, now) + 1 / self._config.rate_per_s
            frames.append(announcement(source))
            del self._pending[source]
            if pending.left > 1:
                self._pending[source] = _Pending(now + self._config.pause_s, pending.left - 1)
        return frames

    def next_due(self) -> float | None:
        if not self._pending:
            return None
        return max(self._allowed_at, min(pending.due_at for pending in self._pending.values()))

    @property
    def _allowed_at(self) -> float:
        return self._paid_until - (self._config.burst - 1) / self._config.rate_per_s

    def _announce(self, sources: Set[Source], now: float) -> None:
        for source in sorted(sources, key=lambda each: (each.ip, each.mac, each.ofport)):
            self._pending[source] = _Pending(now, self._config.times)


def announcement(source: Source) -> Outgoing:
    """Who held this address before, and every switch on the way, learns of us."""
    if ":" in source.ip:
        flags = struct.pack("!I", _OVERRIDE | (_ROUTER if source.router else 0))
        return advertised(source, ALL_NODES, flags + ip6_bytes(source.ip))
    arp = Arp(ARP_REQUEST, source.mac, source.ip, NO_MAC, source.ip)
    return Outgoing(source.ofport, Ethernet(BROADCAST_MAC, source.mac, ETH_ARP, arp.pack(), source.vlan).pack())
