"""Who talked, of Parquet files, by DuckDB: what was seen is read once, into a table of the question's own."""

from __future__ import annotations

from typing import Any, Final

import duckdb

from suimon.model.collectors import EPHEMERAL, TalkAsked
from suimon.telemetry.history.engine import OF_PORT, OF_SERVICE, SCALE

_SUMS: Final = "sum(records) AS records, sum(packets) AS packets, sum(bytes) AS bytes"
_EACH: Final = "records, packets, bytes"
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
SELECT part, port_id, project_id, direction, protocol, service, peers, {_EACH} FROM ranked WHERE place <= {OF_PORT}
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
  SELECT * FROM placed WHERE place <= {OF_SERVICE}
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


def talked(
    cursor: duckdb.DuckDBPyConnection, source: str, asked: TalkAsked
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]], dict[int, int]]:
    """Services, peers and how many services there are (`Talked`), of what is selected from `source`. Raises
    duckdb.Error.
    """
    span = {"since_ms": asked.since_s * 1000, "until_ms": asked.until_s * 1000, "window_ms": asked.window_s * 1000}
    cursor.execute(_SEEN % source, {**span, "project": asked.project_id})
    cursor.execute(_TALKED)
    cursor.execute(_RANKED)
    services, peers = (cursor.execute(sql, {"most": asked.most}).fetchall() for sql in (_KEPT, _PEERS))
    return services, peers, dict(cursor.execute("SELECT part, count(*) FROM ranked GROUP BY part").fetchall())
