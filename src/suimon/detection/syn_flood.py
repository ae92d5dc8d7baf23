"""TCP connections that are begun and not gone on with, by a guest or towards one.

In records of whole connections those with SYN alone are the half-open ones. In those of single packets every
connection begins with one: there the packets that close are subtracted, and the share of SYN among all must be large.
"""

from __future__ import annotations

import numpy as np

from suimon.detection import configs
from suimon.detection.choices import Amount, Choice, Hash
from suimon.detection.floods import Above, Peer, Watched, most_exchanged
from suimon.detection.seen import BEGINS, CLOSES, FLAGGED, SYN, Seen
from suimon.detection.sightings import More, Sighting, block_of_outside, records_of, sure_by
from suimon.model.findings import Subject, Suggestion

_ROWS = 16384
_SYN, _CLOSING, _TCP = range(3)


class SynFlood:
    """Rows are of (port, direction)."""

    def __init__(self, config: configs.SynFlood) -> None:
        self._config = config
        self._watched = Watched(_ROWS, 3, config.window_s, known=True)
        self._table, self._rates = self._watched.table, self._watched.rates
        key = Hash("port", "d")
        begun = [Amount((_SYN, _SYN), "packets")]
        self._begun = self._table.fold(Choice(BEGINS), key, rates=(self._rates, begun))
        tcp = [Amount((_TCP, _TCP), "packets"), Amount((_CLOSING, _CLOSING), "sampled", CLOSES)]
        self._tcp = self._table.fold(Choice(FLAGGED), key, rates=(self._rates, tcp), known=True)

    def step(self, seen: Seen, now_s: float) -> list[Sighting]:
        self._rates.advance(now_s)
        rows = self._table.take(seen, self._begun)
        self._table.take(seen, self._tcp)
        told = []
        for out, threshold in ((True, self._config.out_syn_per_s), (False, self._config.in_syn_per_s)):
            for found in self._watched.above(rows, out, _SYN, threshold):
                if self._is_flood(found, threshold):
                    told.append(self._sighting(seen, found, most_exchanged(seen, rows, found.row, out, octets=False)))
        return told

    def _is_flood(self, found: Above, threshold: float) -> bool:
        syn, closing, tcp = found.seen
        # Both are counted by chance when packets are sampled: four standard deviations apart is no chance.
        certain = syn - closing >= 4.0 * np.sqrt(syn + closing)
        left = found.rates[_SYN] - found.rates[_CLOSING]
        return bool(certain and left >= threshold and syn >= self._config.syn_share * tcp)

    def _sighting(self, seen: Seen, found: Above, most: Peer) -> Sighting:
        label = self._table.label(found.row, seen)
        peer, share = most.text, most.share
        rate = found.rates[_SYN]
        many = "many addresses" if share < 0.5 else peer
        way = f"It sends {many} {rate:.0f}" if label.out else f"{many[0].upper()}{many[1:]} send it {rate:.0f}"
        side = ("destination" if label.out else "source", peer)
        terms = ("protocol tcp", f"tcp_flags {SYN}", *((" ".join(side),) if share >= 0.5 else ()))
        return Sighting(
            subject=Subject("port", label.port_id),
            role="source" if label.out else "victim",
            project_id=label.project_id,
            since_s=found.since_s,
            seen_s=found.until_s,
            more=lambda: More(
                confidence=sure_by(found.seen[_SYN]),
                numbers={
                    "syn_per_s": round(rate, 1),
                    "closing_per_s": round(found.rates[_CLOSING], 1),
                    "tcp_packets_per_s": round(found.rates[_TCP], 1),
                    "top_peer_share": round(share, 3),
                },
                words=f"{way} connection requests a second that nothing follows.",
                evidence=(records_of(label.port_id, found.since_s, found.until_s, *terms),),
                suggestion=_suggestion(label.port_id, label.out, label.peer_l4, peer if share >= 0.5 else None),
            ),
        )


def _suggestion(port_id: str, out: bool, l4_port: int, peer: str | None) -> Suggestion | None:
    """Towards a victim there is nothing to block but a source that stands out: forged ones are too many."""
    if out:
        return Suggestion(kind="packet_rate_limit", target_kind="port", target=port_id, direction="egress", rate_kpps=1)
    if peer is None:
        return None
    return block_of_outside(peer)
