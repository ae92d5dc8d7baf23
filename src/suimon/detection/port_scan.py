"""A guest that tries many transport ports of one address, and isn't answered."""

from __future__ import annotations

from suimon.detection import configs
from suimon.detection.choices import Hash
from suimon.detection.seen import TRANSPORT, Seen
from suimon.detection.sightings import More, Sighting, records_of, sure_by
from suimon.detection.unanswered import Unanswered, protocol_text
from suimon.model.findings import Subject, Suggestion


class PortScan:
    """Rows are of (port, peer, protocol); what counts is the peer's transport ports."""

    def __init__(self, config: configs.PortScan) -> None:
        self._config = config
        self._fold = Unanswered(TRANSPORT, Hash("port", "pt"), Hash("port", "l"), config.window_s, config.l4_ports)

    def step(self, seen: Seen, _now_s: float) -> list[Sighting]:
        found = self._fold.step(seen)
        return [self._sighting(seen, *each) for each in zip(*(each.tolist() for each in found), strict=True)]

    def _sighting(self, seen: Seen, row: int, really: float, estimated: float) -> Sighting:
        table = self._fold.table
        label, until_s = table.label(row, seen), float(table.ended_s[row])
        since_s = max(float(table.begun_s[row]), until_s - self._config.window_s)
        protocol = protocol_text(label.protocol)
        return Sighting(
            subject=Subject("port", label.port_id),
            role="source",
            project_id=label.project_id,
            about=f"{protocol} {label.peer}",
            since_s=since_s,
            seen_s=until_s,
            more=lambda: More(
                confidence=sure_by(really),
                numbers={
                    "l4_ports": round(estimated),
                    "l4_ports_seen": round(really),
                    "window_s": round(until_s - since_s, 1),
                },
                words=f"It tried about {estimated:.0f} {protocol} ports of {label.peer} that didn't answer, "
                f"in {max(1.0, until_s - since_s):.0f} s.",
                evidence=(
                    records_of(label.port_id, since_s, until_s, f"protocol {protocol}", f"destination {label.peer}"),
                ),
                suggestion=Suggestion(kind="quarantine", target_kind="port", target=label.port_id),
            ),
        )
