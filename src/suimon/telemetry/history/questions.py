"""Questions about kept records, and their answers: rows, or the largest sums. Bounded in time and in size."""

from __future__ import annotations

import threading
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final, TypeVar

import duckdb

from suimon.model.collectors import MOST_ROWS, Answer, Question, Sums
from suimon.telemetry.history.columns import COLUMNS
from suimon.telemetry.history.filters import PROTOCOLS, Condition, equal, parsed
from suimon.telemetry.history.segments import Segments

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
SCALE: Final = "greatest(coalesce(sampling, 1), 1)"
_SUMS: Final = (
    # Exact up to 2^53, and never too large: an exporter may say anything. Integers of 128 bits cost twice as much.
    f"count(*) AS records, sum(packets::DOUBLE * {SCALE}) AS packets, sum(bytes::DOUBLE * {SCALE}) AS bytes, "
    "count(*) FILTER (WHERE sampling > 1) AS sampled, count(*) FILTER (WHERE coalesce(sampling, 0) = 0) AS unscaled"
)
_EACH: Final = ", ".join(f"{name}::HUGEINT AS {name}" for name in Sums.__struct_fields__)
_WHOLE: Final = ", ".join(f"coalesce(sum({name}), 0)::HUGEINT AS {name}" for name in Sums.__struct_fields__)
_TOTAL: Final = f"SELECT {_WHOLE} FROM found"  # noqa: S608
Row = dict[str, Any]
T = TypeVar("T")


class QuestionRefused(Exception):
    """It can't be answered; str() says why."""


def answered(segments: Segments, question: Question, timeout_s: float) -> Answer:
    """Raises QuestionRefused, FilterError; blocks."""
    if not 0 < question.limit <= MOST_ROWS:
        raise QuestionRefused(f"the limit is a number from 1 to {MOST_ROWS}")
    if question.by and question.by not in _BY:
        raise QuestionRefused(f"{question.by[:50]!r} is nothing to sum by; there are {', '.join(_BY)}")
    condition = parsed(question.filter)
    if question.project_id:
        condition = condition.and_(equal("project", question.project_id))
    with segments.asked(condition.since_s, condition.until_s) as (cursor, source):
        return in_time(cursor, timeout_s, lambda: _answer(cursor, source, condition, question))


def in_time(cursor: duckdb.DuckDBPyConnection, timeout_s: float, act: Callable[[], T]) -> T:
    """What comes of it. Raises QuestionRefused when it takes longer."""
    late = threading.Event()

    def stop() -> None:
        late.set()
        cursor.interrupt()

    watch = threading.Timer(timeout_s, stop)
    watch.start()
    try:
        found = act()
    except duckdb.InterruptException:
        late.set()
    finally:
        watch.cancel()
    # One that was stopped between two statements goes on to its end: it is too late all the same.
    if late.is_set():
        raise QuestionRefused(f"it takes longer than {timeout_s:g} s: ask for less time, or for one port")
    return found


def _answer(cursor: duckdb.DuckDBPyConnection, source: str, condition: Condition, question: Question) -> Answer:
    where, parameters = f"FROM {source} WHERE {condition.sql}", [*condition.parameters]
    keys = ", ".join(_BY.get(question.by, ()))
    # All records are read once: what they are in all follows from the groups.
    grouped = f"SELECT {keys}, {_SUMS} {where} GROUP BY {keys}" if keys else f"SELECT {_SUMS} {where}"
    cursor.execute(f"CREATE TEMPORARY TABLE found AS {grouped}", parameters)
    total = Sums(**_rows(cursor, _TOTAL, [])[0])
    if keys:
        order = f"ORDER BY {question.order} DESC, {keys} LIMIT {question.limit:d}"
        found = _rows(cursor, f"SELECT {keys}, {_EACH} FROM found {order}", [])  # noqa: S608
        return Answer([_told(row) for row in found], total)
    names = ", ".join(COLUMNS)
    order = f"ORDER BY begun_ms DESC LIMIT {question.limit:d}"
    return Answer([_told(row) for row in _rows(cursor, f"SELECT {names} {where} {order}", parameters)], total)


def _rows(cursor: duckdb.DuckDBPyConnection, sql: str, parameters: list[object]) -> list[Row]:
    found = cursor.execute(sql, parameters)
    names = [each[0] for each in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _told(row: Row) -> Row:
    """As people read it: addresses and MACs as texts, protocols by name."""
    told = {name: value for name, value in row.items() if not name.endswith(("_high", "_low"))}
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
