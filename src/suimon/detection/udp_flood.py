"""Datagrams at a high rate that hardly anything answers, from a guest or towards one.

What is answered (QUIC, a busy resolver) is no flood.
"""

from __future__ import annotations

from suimon.detection import configs
from suimon.detection.choices import Amount, Choice, Hash
from suimon.detection.floods import Above, Peer, Watched, most_exchanged
from suimon.detection.seen import IS_UDP, Seen
from suimon.detection.sightings import More, Sighting, block_of_outside, records_of, sure_by
from suimon.model.findings import Subject, Suggestion

_ROWS = 16384
_OUT, _IN, _OUT_BYTES, _IN_BYTES = range(4)
_LEAST_SEEN = 20


class UdpFlood:
    """Rows are of ports."""

    def __init__(self, config: configs.UdpFlood) -> None:
        self._config = config
        self._watched = Watched(_ROWS, 4, config.window_s)
        self._table, self._rates = self._watched.table, self._watched.rates
        amounts = Amount((_IN, _OUT), "packets"), Amount((_IN_BYTES, _OUT_BYTES), "bytes")
        self._all = self._table.fold(Choice(IS_UDP), Hash("port"), rates=(self._rates, amounts))

    def step(self, seen: Seen, now_s: float) -> list[Sighting]:
        self._rates.advance(now_s)
        rows = self._table.take(seen, self._all)
        told = []
        for metric, back, kpps in ((_OUT, _IN, self._config.out_kpps), (_IN, _OUT, self._config.in_kpps)):
            for found in self._watched.above(rows, metric == _OUT, metric, kpps * 1000):
                answered = found.rates[back] > self._config.answered_share * found.rates[metric]
                if not answered and found.seen[metric] >= _LEAST_SEEN:
                    peer = most_exchanged(seen, rows, found.row, metric == _OUT, octets=False)
                    told.append(self._sighting(seen, found, metric, peer))
        return told

    def _sighting(self, seen: Seen, found: Above, metric: int, most: Peer) -> Sighting:
        label, sends = self._table.label(found.row, seen), metric == _OUT
        peer, share = most.text, most.share
        rate, kbps = found.rates[metric], found.rates[metric + _OUT_BYTES] / 125.0
        whom = peer if share >= 0.5 else "many addresses"
        words = f"It sends {whom}" if sends else f"It gets from {whom}"
        side = "destination" if sends else "source"
        terms = ("protocol udp", *((f"{side} {peer}",) if share >= 0.5 else ()))
        return Sighting(
            subject=Subject("port", label.port_id),
            role="source" if sends else "victim",
            project_id=label.project_id,
            since_s=found.since_s,
            seen_s=found.until_s,
            more=lambda: More(
                confidence=sure_by(found.seen[metric]),
                numbers={"packets_per_s": round(rate, 1), "kbps": round(kbps, 1), "top_peer_share": round(share, 3)},
                words=f"{words} {rate / 1000:.1f} thousand datagrams a second ({kbps / 1000:.0f} Mbit/s) unanswered.",
                evidence=(records_of(label.port_id, found.since_s, found.until_s, *terms),),
                suggestion=_suggestion(label.port_id, sends, peer if share >= 0.5 else None),
            ),
        )


def _suggestion(port_id: str, sends: bool, peer: str | None) -> Suggestion | None:
    """Towards a victim there is nothing to block but a source that stands out."""
    if sends:
        return Suggestion(kind="packet_rate_limit", target_kind="port", target=port_id, direction="egress", rate_kpps=1)
    if peer is None:
        return None
    return block_of_outside(peer)
