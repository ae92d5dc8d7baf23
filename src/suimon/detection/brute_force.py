"""Many short sessions with a service that asks for a password (SSH, RDP), by a guest or towards one."""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from suimon.detection.distinct import Distinct
from suimon.detection.folds import Amount, Marks
from suimon.detection.rates import Rates
from suimon.detection.seen import ACK, IS_TCP, OUT, PSH, RST, SYN, Bools, Integers, Seen
from suimon.detection.sightings import Sighting, block_of_outside, records_of, sure_by
from suimon.detection.table import Table
from suimon.model.findings import Subject, Suggestion
from suimon.model.loops import mixed

_ROWS = 8192
_LONGEST_S = 60
"""What the rates remember of a row, less what they look back."""
_LEAST_PACKETS = 3
"""Of a record without flags: so many are no mere attempt to connect."""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    enabled: bool = True
    window_s: Annotated[int, Meta(ge=5, le=_LONGEST_S)] = 60
    sessions: Annotated[int, Meta(ge=5, le=1000)] = 60
    session_bytes: Annotated[float, Meta(ge=100, le=1e9)] = 10_000.0
    l4_ports: tuple[Annotated[int, Meta(ge=1, le=65535)], ...] = (22, 3389)
    quiet_s: Annotated[int, Meta(ge=1, le=86400)] = 120


class BruteForce:
    """Rows are of (port, peer, service, who serves); sessions are told apart by the client's transport port.

    What only began, or was refused, is a scan or a flood, and may have forged sources.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._sessions = Distinct(_ROWS)
        self._rates = Rates(_ROWS, 1)
        self._table = Table(_ROWS, self._sessions, self._rates, twice=True)
        self._services = [Marks(own, config.l4_ports) for own in (False, True)]

    def step(self, seen: Seen, now_s: float) -> list[Sighting]:
        self._rates.advance(now_s)
        told = []
        for sends, service, client in ((True, seen.peer_l4, seen.own_l4), (False, seen.own_l4, seen.peer_l4)):
            side = (IS_TCP | OUT, 0) if sends else (IS_TCP, OUT)
            chosen = seen.chosen(*side, marks=self._services[not sends])
            chosen = chosen[(client[chosen] >= 1024) & _went_on(seen, chosen)]
            keys = mixed(service[chosen].astype(np.int64) * 2 + sends, seen.hashes(chosen, "p"))
            rows = self._table.rows(seen, chosen, keys)
            self._sessions.add(rows.of, seen, chosen, mixed(client[chosen], keys))
            self._rates.add(rows.of, seen, chosen, Amount((0, 0), seen.bytes[chosen]))
            told += self._above(seen, np.sort(rows.own))
        return told

    def _above(self, seen: Seen, own: Integers) -> list[Sighting]:
        own = own[self._sessions.reach(own, self._config.sessions)]
        sessions = self._sessions.count(own, self._table.since(own, self._config.window_s))
        many = sessions >= self._config.sessions
        if not many.any():
            return []
        own, sessions = own[many], sessions[many]
        times_s = (self._table.begun_s[own], self._table.ended_s[own])
        octets = self._rates.peak(own, 0, self._config.window_s, times_s).amounts[0]
        short = octets <= self._config.session_bytes * sessions
        return [self._sighting(seen, int(own[i]), sessions[i], octets[i]) for i in np.flatnonzero(short)]

    def _sighting(self, seen: Seen, row: int, sessions: float, octets: float) -> Sighting:
        label, until_s = self._table.label(row, seen), float(self._table.ended_s[row])
        since_s = max(float(self._table.begun_s[row]), until_s - self._config.window_s)
        service = label.peer_l4 if label.out else label.own_l4
        whom = (
            f"It opened {sessions:.0f} short sessions to" if label.out else f"It got {sessions:.0f} short sessions from"
        )
        side = "destination" if label.out else "source"
        terms = ("protocol tcp", f"{side} {label.peer}", f"destination_port {service}")
        return Sighting(
            subject=Subject("port", label.port_id),
            role="source" if label.out else "victim",
            project_id=label.project_id,
            about=f"tcp/{service} {label.peer}",
            since_s=since_s,
            seen_s=until_s,
            confidence=sure_by(sessions),
            numbers={
                "sessions": round(sessions),
                "session_bytes": round(octets / sessions),
                "l4_port": service,
                "window_s": round(until_s - since_s, 1),
            },
            words=f"{whom} {label.peer} on tcp/{service} in {max(1.0, until_s - since_s):.0f} s.",
            evidence=(records_of(label.port_id, since_s, until_s, *terms),),
            suggestion=_suggestion(label.port_id, service) if label.out else block_of_outside(label.peer),
        )


def _suggestion(port_id: str, service: int) -> Suggestion:
    return Suggestion(
        kind="port_block", target_kind="port", target=port_id, protocol="tcp", port_min=service, port_max=service
    )


def _went_on(seen: Seen, chosen: Integers) -> Bools:
    flags = seen.flags[chosen]
    acknowledged = ((flags & ACK) != 0) & (flags != (SYN | ACK))
    # Who gives up resets a session that carried something (PSH); without that the reset refused it.
    acknowledged &= ((flags & RST) == 0) | ((flags & PSH) != 0)
    found: Bools = np.where(flags != 0, acknowledged, seen.packets[chosen] >= _LEAST_PACKETS)
    return found
