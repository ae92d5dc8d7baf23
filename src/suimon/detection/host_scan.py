"""A guest that tries the same transport port, or a ping, at many addresses, and isn't answered."""

from __future__ import annotations

from suimon.detection import configs
from suimon.detection.choices import Hash
from suimon.detection.seen import TCP, TRIED, UDP, Seen
from suimon.detection.sightings import More, Sighting, records_of, sure_by
from suimon.detection.unanswered import Unanswered, protocol_text
from suimon.model.findings import Subject, Suggestion


class HostScan:
    """Rows are of (port, protocol, peer's transport port); what counts is the peers."""

    def __init__(self, config: configs.HostScan) -> None:
        self._config = config
        # Without ports: what exporters put there for ICMP is its type, and an answer has another.
        self._fold = Unanswered(TRIED, Hash("port", "st"), Hash("peer"), config.window_s, config.hosts)

    def step(self, seen: Seen, _now_s: float) -> list[Sighting]:
        found = self._fold.step(seen)
        return [self._sighting(seen, *each) for each in zip(*(each.tolist() for each in found), strict=True)]

    def _sighting(self, seen: Seen, row: int, really: float, estimated: float) -> Sighting:
        table = self._fold.table
        label, until_s = table.label(row, seen), float(table.ended_s[row])
        since_s = max(float(table.begun_s[row]), until_s - self._config.window_s)
        protocol, l4_port = protocol_text(label.protocol), label.peer_l4
        transport = label.protocol in (TCP, UDP)
        service = f"{protocol}/{l4_port}" if transport else protocol
        terms = (f"protocol {protocol}", *((f"destination_port {l4_port}",) if transport else ()))
        return Sighting(
            subject=Subject("port", label.port_id),
            role="source",
            project_id=label.project_id,
            about=service,
            since_s=since_s,
            seen_s=until_s,
            more=lambda: More(
                confidence=sure_by(really),
                numbers={
                    "hosts": round(estimated),
                    "hosts_seen": round(really),
                    "window_s": round(until_s - since_s, 1),
                },
                words=f"It tried {service} of about {estimated:.0f} addresses that didn't answer, "
                f"in {max(1.0, until_s - since_s):.0f} s.",
                evidence=(records_of(label.port_id, since_s, until_s, *terms),),
                suggestion=Suggestion(
                    kind="port_block" if transport else "quarantine",
                    target_kind="port",
                    target=label.port_id,
                    protocol=protocol if transport else None,
                    port_min=l4_port if transport else None,
                    port_max=l4_port if transport else None,
                ),
            ),
        )
