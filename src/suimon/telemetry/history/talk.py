"""Who talked with whom, as facts: of each port the services that it used and offered, and its largest peers.

A packet that several exporters tell of counts once: of each port and direction, what the exporter says that saw most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import duckdb

from suimon.model.collectors import EPHEMERAL, Peer, Service, Talk, TalkAsked, Window
from suimon.telemetry.history.engine import SCALE
from suimon.telemetry.history.questions import DIRECTIONS, NAMED, address_of
from suimon.telemetry.history.segments import Segments, in_time

_OF_PORT: Final = 100
"""Services of a port in one direction: who scans doesn't push out what others do."""
_OF_SERVICE: Final = 10
"""Peers."""
_MOST: Final = 1 << 53
"""An exporter may say anything; a fact has 63 bits."""
_SUMS: Final = "sum(records) AS records, sum(packets) AS packets, sum(bytes) AS bytes"
_EACH: Final = ", ".join(f"least({name}, {_MOST})::BIGINT" for name in ("records", "packets", "bytes"))
_SERVICE: Final = "part, port_id, project_id, direction, protocol, service"
_OTHER: Final = "ip_version, high, low"


def _offered(side: str) -> str:
    """A port of TCP, UDP or SCTP that clients don't choose by themselves; else null."""
    return f"CASE WHEN protocol IN (6, 17, 132) AND {side}_port < {EPHEMERAL} THEN {side}_port END"


def _other(half: str) -> str:
    return f"CASE direction WHEN 1 THEN destination_{half} ELSE source_{half} END AS {half}"


_SEEN: Final = f"""
CREATE TEMPORARY TABLE seen AS
SELECT (begun_ms + duration_ms - $since_ms) // $window_ms AS part, exporter::VARCHAR AS exporter,
  port_id::VARCHAR AS port_id, coalesce(project_id::VARCHAR, '') AS project_id, direction, protocol,
  {_offered("destination")} AS service, {_offered("source")} AS from_service, ip_version, {_other("high")},
  {_other("low")}, count(*) AS records, sum(packets::DOUBLE * {SCALE}) AS packets, sum(bytes::DOUBLE * {SCALE}) AS bytes
FROM %s
WHERE port_id IS NOT NULL AND direction IN (1, 2)
  AND begun_ms + duration_ms >= $since_ms AND begun_ms + duration_ms < $until_ms
  AND ($project = '' OR project_id = $project)
GROUP BY ALL
"""  # noqa: S608
_TALKED: Final = f"""
CREATE TEMPORARY TABLE talked AS
WITH best AS (
  SELECT part, port_id, direction, exporter FROM seen GROUP BY part, port_id, direction, exporter
  QUALIFY row_number() OVER (PARTITION BY part, port_id, direction ORDER BY sum(bytes) DESC, exporter) = 1
)
SELECT {_SERVICE}, {_OTHER}, {_SUMS} FROM seen JOIN best USING (part, port_id, direction, exporter) GROUP BY ALL
"""  # noqa: S608
_RANKED: Final = f"""
CREATE TEMPORARY TABLE ranked AS
SELECT {_SERVICE}, count(*) AS peers, {_SUMS},
  row_number() OVER (PARTITION BY part, port_id, direction ORDER BY sum(bytes) DESC, protocol, service) AS place
FROM talked GROUP BY {_SERVICE}
"""  # noqa: S608
_KEPT: Final = f"""
SELECT part, port_id, project_id, direction, protocol, service, peers, {_EACH} FROM ranked WHERE place <= {_OF_PORT}
QUALIFY row_number() OVER (PARTITION BY part ORDER BY place, bytes DESC, {_SERVICE}) <= $most
ORDER BY place, bytes DESC, {_SERVICE}
"""  # noqa: S608
_PEERS: Final = f"""
WITH answers AS (
  SELECT DISTINCT part, port_id, 3 - direction AS direction, protocol, from_service, {_OTHER} FROM seen
  WHERE from_service IS NOT NULL
), placed AS (
  SELECT *, row_number() OVER (PARTITION BY {_SERVICE} ORDER BY bytes DESC, {_OTHER}) AS place FROM talked
), largest AS (
  SELECT * FROM placed WHERE place <= {_OF_SERVICE}
  QUALIFY row_number() OVER (PARTITION BY part ORDER BY place, bytes DESC, {_SERVICE}, {_OTHER}) <= $most
)
SELECT part, port_id, project_id, direction, protocol, service, {_OTHER}, EXISTS (
    SELECT 1 FROM answers WHERE answers.part = largest.part AND answers.port_id = largest.port_id
      AND answers.direction = largest.direction AND answers.protocol = largest.protocol
      AND answers.from_service = largest.service AND answers.ip_version = largest.ip_version
      AND answers.high = largest.high AND answers.low = largest.low
  ), {_EACH}
FROM largest ORDER BY place, bytes DESC, {_SERVICE}, {_OTHER}
"""  # noqa: S608


def talk(segments: Segments, asked: TalkAsked, timeout_s: float) -> Talk:
    """Raises QuestionRefused; blocks."""
    until_s = asked.since_s + asked.windows * asked.window_s
    with segments.asked(asked.since_s, until_s) as (cursor, source):
        windows = in_time(cursor, timeout_s, lambda: _told(cursor, source, asked, until_s))
    return Talk(windows, segments.since_s())


def _told(cursor: duckdb.DuckDBPyConnection, source: str, asked: TalkAsked, until_s: int) -> tuple[Window, ...]:
    span = {"since_ms": asked.since_s * 1000, "until_ms": until_s * 1000, "window_ms": asked.window_s * 1000}
    cursor.execute(_SEEN % source, {**span, "project": asked.project_id})
    cursor.execute(_TALKED)
    cursor.execute(_RANKED)
    services: list[list[Service]] = [[] for _ in range(asked.windows)]
    peers: list[list[Peer]] = [[] for _ in range(asked.windows)]
    for part, port, project, *key, many, records, packets, volume in _rows(cursor, _KEPT, asked):
        services[part].append(Service(port, project, *_read(*key), many, records, packets, volume))
    for part, port, project, direction, protocol, service, *other, answered, records, packets, volume in _rows(
        cursor, _PEERS, asked
    ):
        told, address = _read(direction, protocol, service), address_of(*other)
        peers[part].append(Peer(port, project, *told, address, answered, records, packets, volume))
    many_of = dict(cursor.execute("SELECT part, count(*) FROM ranked GROUP BY part").fetchall())
    return tuple(
        Window(
            asked.since_s + (part + 1) * asked.window_s,
            tuple(services[part]),
            tuple(peers[part]),
            many_of.get(part, 0) - len(services[part]),
        )
        for part in range(asked.windows)
    )


def _rows(cursor: duckdb.DuckDBPyConnection, sql: str, asked: TalkAsked) -> Sequence[tuple[Any, ...]]:
    return cursor.execute(sql, {"most": asked.most}).fetchall()


def _read(direction: int, protocol: int | None, service: int | None) -> tuple[str, str, int | None]:
    """As people read it."""
    return DIRECTIONS[direction], NAMED.get(protocol, str(protocol)) if protocol is not None else "", service
