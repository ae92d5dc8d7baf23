"""Many short sessions with a service that asks for a password (SSH, RDP), by a guest or towards one."""

from __future__ import annotations

from typing import Final

from suimon.detection import configs
from suimon.detection.choices import Amount, Choice, Hash, marks
from suimon.detection.distinct import Distinct, Tallies
from suimon.detection.folds import Fold, Wanted
from suimon.detection.rates import Rates
from suimon.detection.seen import CLIENT, IS_TCP, OUT, WENT_ON, Integers, Seen
from suimon.detection.sightings import More, Sighting, block_of_outside, records_of, sure_by
from suimon.detection.table import Table
from suimon.model.findings import Subject, Suggestion

_ROWS = 8192
_BOTH_SIDES: Final = 3


class BruteForce:
    """Rows are of (port, peer, service, who serves); sessions are told apart by the client's transport port.

    What only began, or was refused, is a scan or a flood, and may have forged sources.
    """

    def __init__(self, config: configs.BruteForce) -> None:
        self._config = config
        self._sessions = Distinct(_ROWS)
        self._rates = Rates(_ROWS, 1, config.window_s)
        self._table = Table(_ROWS, self._sessions, self._rates, twice=True)
        self._tallies = Tallies(self._table.keyed, config.window_s, (self._sessions, config.sessions))
        self._octets = Wanted(_BOTH_SIDES, 0, 0.0, config.window_s)
        services = marks(config.l4_ports)
        sent = Choice(IS_TCP | WENT_ON | OUT, own=CLIENT, peer=services)
        got = Choice(IS_TCP | WENT_ON, OUT, own=services, peer=CLIENT)
        self._sides = [self._fold(sent, "L", "o"), self._fold(got, "O", "l")]

    def step(self, seen: Seen, now_s: float) -> list[Sighting]:
        self._rates.advance(now_s)
        told = []
        for fold in self._sides:
            told += self._above(seen, self._table.take(seen, fold).own)
        return told

    def _fold(self, choice: Choice, service: str, client: str) -> Fold:
        session, octets = (self._sessions, Hash("key", client)), [Amount((0, 0), "bytes")]
        return self._table.fold(choice, Hash("port", "p" + service), session, rates=(self._rates, octets))

    def _above(self, seen: Seen, own: Integers) -> list[Sighting]:
        near, _, (sessions,) = self._tallies.near(own)
        if not len(near):
            return []
        octets = self._rates.near(self._table.keyed, near, self._octets).amounts[:, 0]
        short = octets <= self._config.session_bytes * sessions
        found = (part[short].tolist() for part in (near, sessions, octets))
        return [self._sighting(seen, *each) for each in zip(*found, strict=True)]

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
            more=lambda: More(
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
            ),
        )


def _suggestion(port_id: str, service: int) -> Suggestion:
    return Suggestion(
        kind="port_block", target_kind="port", target=port_id, protocol="tcp", port_min=service, port_max=service
    )
