"""Who talked with whom, as facts: of each port the services that it used and offered, and its largest peers.

A packet that several exporters tell of counts once: of each port and direction, what the exporter says that saw most.
"""

from __future__ import annotations

from typing import Final

from suimon.model.collectors import Peer, Service, Talk, TalkAsked, Window
from suimon.telemetry.history.engine import History
from suimon.telemetry.history.questions import DIRECTIONS, NAMED, address_of

_MOST: Final = 1 << 53
"""An exporter may say anything; a fact has 63 bits."""


def talk(history: History, asked: TalkAsked, timeout_s: float) -> Talk:
    """Raises QuestionRefused; blocks."""
    talked = history.talked(asked, timeout_s)
    services: list[list[Service]] = [[] for _ in range(asked.windows)]
    peers: list[list[Peer]] = [[] for _ in range(asked.windows)]
    for part, port, project, *key, many, records, packets, volume in talked.services:
        services[part].append(Service(port, project, *_read(*key), many, *_counted(records, packets, volume)))
    for part, port, project, direction, protocol, service, *other, answered, records, packets, volume in talked.peers:
        told, address = _read(direction, protocol, service), address_of(*other)
        peers[part].append(Peer(port, project, *told, address, answered, *_counted(records, packets, volume)))
    windows = (
        Window(
            asked.since_s + (part + 1) * asked.window_s,
            tuple(services[part]),
            tuple(peers[part]),
            talked.many.get(part, 0) - len(services[part]),
        )
        for part in range(asked.windows)
    )
    return Talk(tuple(windows), talked.since_s)


def _read(direction: int, protocol: int | None, service: int | None) -> tuple[str, str, int | None]:
    """As people read it."""
    return DIRECTIONS[direction], NAMED.get(protocol, str(protocol)) if protocol is not None else "", service


def _counted(records: float, packets: float, volume: float) -> tuple[int, int, int]:
    return min(int(records), _MOST), min(int(packets), _MOST), min(int(volume), _MOST)
