"""Answers that were not asked for: from a guest whose service is abused, or to a guest whose address was forged."""

from __future__ import annotations

from suimon.detection import configs
from suimon.detection.choices import Amount, Choice, Hash, marks
from suimon.detection.floods import Above, Peer, Watched, most_exchanged
from suimon.detection.folds import Fold
from suimon.detection.reflectors import SERVICES
from suimon.detection.seen import IS_UDP, Seen
from suimon.detection.sightings import More, Sighting, records_of, sure_by
from suimon.model.findings import Subject, Suggestion

_ROWS = 16384
_BYTES, _PACKETS, _ASKED_BYTES, _ASKED_PACKETS = range(4)
_LEAST_SEEN = 12


class Reflection:
    """Rows are of (port, service, on which side the service is); answers come from it, questions go to it."""

    def __init__(self, config: configs.Reflection) -> None:
        self._config = config
        self._watched = Watched(_ROWS, 4, config.window_s)
        self._table, self._rates = self._watched.table, self._watched.rates
        self._sides = [(own, self._fold(own)) for own in (True, False)]

    def step(self, seen: Seen, now_s: float) -> list[Sighting]:
        self._rates.advance(now_s)
        told = []
        for own, fold in self._sides:
            rows = self._table.take(seen, fold)
            least = (self._config.source_kbps if own else self._config.victim_kbps) * 125.0
            for found in self._watched.above(rows, own, _BYTES, least):
                if self._is_abused(found, own):
                    peer = most_exchanged(seen, rows, found.row, own, octets=True)
                    told.append(self._sighting(seen, found, own, peer))
        return told

    def _fold(self, own: bool) -> Fold:
        services = marks(SERVICES)
        choice = Choice(IS_UDP, own=services) if own else Choice(IS_UDP, peer=services)
        octets, packets = (_ASKED_BYTES, _BYTES), (_ASKED_PACKETS, _PACKETS)
        if not own:
            octets, packets = octets[::-1], packets[::-1]
        amounts = Amount(octets, "bytes"), Amount(packets, "packets")
        return self._table.fold(choice, Hash("port", "o" if own else "l", int(own)), rates=(self._rates, amounts))

    def _is_abused(self, found: Above, own: bool) -> bool:
        octets, packets, asked_bytes, asked_packets = found.rates
        if found.seen[_PACKETS] < _LEAST_SEEN:
            return False
        if own:
            large = octets >= self._config.source_mean_bytes * packets
            return large and octets >= self._config.source_amplification * asked_bytes
        return asked_packets <= self._config.victim_asked_share * packets

    def _sighting(self, seen: Seen, found: Above, own: bool, peer: Peer) -> Sighting:
        label = self._table.label(found.row, seen)
        service = label.own_l4 if own else label.peer_l4
        return Sighting(
            subject=Subject("port", label.port_id),
            role="source" if own else "victim",
            project_id=label.project_id,
            about=f"udp/{service}",
            since_s=found.since_s,
            seen_s=found.until_s,
            more=lambda: More(
                confidence=sure_by(found.seen[_PACKETS]),
                numbers={
                    "answers_kbps": round(found.rates[_BYTES] / 125.0, 1),
                    "answers_packets_per_s": round(found.rates[_PACKETS], 1),
                    "asked_kbps": round(found.rates[_ASKED_BYTES] / 125.0, 1),
                    "l4_port": service,
                    "top_peer_share": round(peer.share, 3),
                },
                words=_words(found, service, peer if own else None),
                evidence=(
                    records_of(label.port_id, found.since_s, found.until_s, "protocol udp", f"source_port {service}"),
                ),
                suggestion=_suggestion(label.port_id, own, service),
            ),
        )


def _words(found: Above, service: int, most_to: Peer | None) -> str:
    name, kbps = f"{SERVICES[service]} (udp/{service})", found.rates[_BYTES] / 125.0
    if most_to is None:
        return f"{name} of others sends it {kbps:.0f} kbit/s of answers that it didn't ask for."
    most = f"most of them to {most_to.text}"
    return f"Its {name} sends {kbps:.0f} kbit/s of answers, {most}, and is asked {_times(found)} less."


def _times(found: Above) -> str:
    asked = found.rates[_ASKED_BYTES]
    return f"{found.rates[_BYTES] / asked:.0f} times" if asked else "infinitely"


def _suggestion(port_id: str, own: bool, service: int) -> Suggestion | None:
    """Who is asked can be kept from being asked; a victim's answers stop at the cloud's edge or nowhere."""
    if not own:
        return None
    return Suggestion(
        kind="port_block",
        target_kind="port",
        target=port_id,
        direction="ingress",
        protocol="udp",
        port_min=service,
        port_max=service,
    )
