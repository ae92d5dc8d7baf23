"""A guest that sends mail to many servers, or in many sessions: by tcp/25, 465 and 587, each counted by itself.

A relay receives mail as it sends it, so a port that does has higher thresholds; whoever knows that may spoil them by
sending mail to a spammer, and comes so far and no further.
"""

from __future__ import annotations

import numpy as np

from suimon.detection import configs
from suimon.detection.choices import Choice, Hash, marks
from suimon.detection.distinct import Distinct, Tallies
from suimon.detection.seen import ANSWERED, CLIENT, OPENED_HERE, OUT, Floats, Hashes, Seen
from suimon.detection.sightings import More, Sighting, records_of, sure_by
from suimon.detection.table import Table
from suimon.model.findings import Subject, Suggestion

_ROWS = 4096
_CELLS = 1024
"""So that a relay's sessions can still be told apart: up to some 7,000."""


class MassMail:
    """Sampled packets show some of the sessions and servers: both counts are then lower bounds."""

    def __init__(self, config: configs.MassMail) -> None:
        self._config = config
        self._servers, self._sessions, self._received = (Distinct(_ROWS, _CELLS) for _ in range(3))
        self._table = Table(_ROWS, self._servers, self._sessions)
        least = (self._servers, config.servers), (self._sessions, config.sessions)
        self._tallies = Tallies(self._table.keyed, config.window_s, *least)
        self._relays = Table(_ROWS, self._received)
        ports = marks(config.l4_ports)
        opened = Choice(OPENED_HERE, own=CLIENT, peer=ports)
        hits = (self._servers, Hash("peer")), (self._sessions, Hash("peer", "o"))
        self._sending = self._table.fold(opened, Hash("port", "l"), *hits)
        # Sessions that others opened to the guest's own mail ports, and that were answered.
        answered = Choice(ANSWERED, OUT, own=ports)
        self._receiving = self._relays.fold(answered, Hash("port"), (self._received, Hash("peer", "l")))

    def step(self, seen: Seen, _now_s: float) -> list[Sighting]:
        self._relays.take(seen, self._receiving)
        rows = self._table.take(seen, self._sending)
        # Whether they may be above as those who relay no mail.
        touched, _, (servers, sessions) = self._tallies.near(rows.own)
        if not len(touched):
            return []
        factor = self._factors(self._table.keyed.origins["port"][touched], sessions)
        above = (servers >= self._config.servers * factor) | (sessions >= self._config.sessions * factor)
        return [self._sighting(seen, int(touched[i]), servers[i], sessions[i]) for i in np.flatnonzero(above)]

    def _factors(self, ports: Hashes, sessions: Floats) -> Floats:
        """By how much the thresholds of each of these ports are higher."""
        rows = self._relays.find(ports)
        factors = np.ones(len(ports))
        known = np.flatnonzero(rows >= 0)
        received = self._received.count(rows[known], self._relays.since(rows[known], self._config.window_s))
        factors[known[received >= self._config.relay_share * sessions[known]]] = self._config.relay_factor
        return factors

    def _sighting(self, seen: Seen, row: int, servers: float, sessions: float) -> Sighting:
        label, scale = self._table.label(row, seen), float(self._table.scale[row])
        until_s = float(self._table.ended_s[row])
        since_s = max(float(self._table.begun_s[row]), until_s - self._config.window_s)
        least = "at least " if scale > 1 else ""
        return Sighting(
            subject=Subject("port", label.port_id),
            role="source",
            project_id=label.project_id,
            about=f"tcp/{label.peer_l4}",
            since_s=since_s,
            seen_s=until_s,
            more=lambda: More(
                confidence=sure_by(min(servers, sessions) if scale > 1 else sessions),
                numbers={
                    "sessions": round(sessions),
                    "servers": round(servers),
                    "window_s": round(until_s - since_s, 1),
                    "l4_port": label.peer_l4,
                    "sampling": scale,
                },
                words=f"It opened {least}{sessions:.0f} sessions to {least}{servers:.0f} servers "
                f"on tcp/{label.peer_l4} in {max(1.0, until_s - since_s):.0f} s.",
                evidence=(
                    records_of(label.port_id, since_s, until_s, "protocol tcp", f"destination_port {label.peer_l4}"),
                ),
                suggestion=Suggestion(
                    kind="port_block",
                    target_kind="port",
                    target=label.port_id,
                    protocol="tcp",
                    port_min=label.peer_l4,
                    port_max=label.peer_l4,
                ),
            ),
        )
