"""Questions about kept records, and their answers: rows, or the largest sums. Bounded in time and in size."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Final

from suimon.model.collectors import MOST_ROWS, Answer, Question, Sums
from suimon.telemetry.history.engine import History, QuestionRefused, Row, Sought
from suimon.telemetry.history.filters import PROTOCOLS, equal, parsed

_BY: Final = {
    "source": ("ip_version", "source_high", "source_low"),
    "destination": ("ip_version", "destination_high", "destination_low"),
    "port": ("port_id",),
    "project": ("project_id",),
    "network": ("network_id",),
    "host": ("host",),
    "exporter": ("exporter",),
    "direction": ("direction",),
    "protocol": ("protocol",),
    "source_port": ("protocol", "source_port"),
    "destination_port": ("protocol", "destination_port"),
}
KEYS: Final = tuple(_BY)
NAMED: Final = {number: name for name, number in PROTOCOLS.items()}
DIRECTIONS: Final = {1: "out", 2: "in"}


def answered(history: History, question: Question, timeout_s: float) -> Answer:
    """Raises QuestionRefused, FilterError; blocks."""
    if not 0 < question.limit <= MOST_ROWS:
        raise QuestionRefused(f"the limit is a number from 1 to {MOST_ROWS}")
    if question.by and question.by not in _BY:
        raise QuestionRefused(f"{question.by[:50]!r} is nothing to sum by; there are {', '.join(_BY)}")
    condition = parsed(question.filter)
    if question.project_id:
        condition = condition.and_(equal("project", question.project_id))
    sought = Sought(condition, _BY.get(question.by, ()), question.order, question.limit)
    rows, total = history.find(sought, timeout_s)
    return Answer([_told(row) for row in rows], total)


def _told(row: Row) -> Row:
    """As people read it: addresses and MACs as texts, protocols by name."""
    told = {name: value for name, value in row.items() if not name.endswith(("_high", "_low"))}
    told |= {name: int(told.pop(f"sum_{name}")) for name in Sums.__struct_fields__ if f"sum_{name}" in told}
    for side in ("source", "destination"):
        if f"{side}_low" in row:
            told[side] = address_of(row.get("ip_version"), row[f"{side}_high"], row[f"{side}_low"])
        if mac := row.get(f"{side}_mac"):
            told[f"{side}_mac"] = f"{mac:012x}"
            told[f"{side}_mac"] = ":".join(told[f"{side}_mac"][n : n + 2] for n in range(0, 12, 2))
    if row.get("protocol") is not None:
        told["protocol"] = NAMED.get(row["protocol"], str(row["protocol"]))
    if "direction" in row:
        told["direction"] = DIRECTIONS.get(row["direction"], "")
    return told


def address_of(version: int | None, high: int | None, low: int | None) -> str:
    if not version or high is None or low is None:
        return ""
    return str(IPv4Address(low & 0xFFFFFFFF) if version == 4 else IPv6Address(high << 64 | low))
