"""Who talked, of a ClickHouse server's records, in statements that 18.16 takes too: without WITH, window functions and
tables for a while, so that places come of sorted arrays, and what all rests on is said in each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from suimon.model.collectors import EPHEMERAL, TalkAsked
from suimon.telemetry.history.clickhouse_sql import Ask, Texts, literal
from suimon.telemetry.history.engine import OF_PORT, OF_SERVICE, SCALE

_NONE: Final = 1 << 16
"""In place of a service that there is not, which comes last."""
_WHOSE: Final = "part, port_id, direction"
_SERVICE: Final = "part, port_id, project_id, direction, protocol, service"
_OTHER: Final = "ip_version, high, low"


def talked(ask: Ask, source: str, asked: TalkAsked) -> tuple[list[list[Any]], list[list[Any]], dict[int, int]]:
    """Services, peers and how many services there are (`Talked`), of what is selected from `source`. Raises what `ask`
    does.
    """
    seen = _seen(source, asked)
    counted = ask(f"SELECT part, count() FROM ({_services(seen)}) GROUP BY part")[0]  # noqa: S608
    services = ask(_kept(seen, asked.most))[0]
    peers = ask(_largest(seen, asked.most))[0]
    many = {int(part): int(count) for part, count in counted}
    return [*_service_rows(services)], [*_peer_rows(peers)], many


def _seen(source: str, asked: TalkAsked) -> str:
    """Each record of a port that ended within the time, with what it counts."""
    since_ms = asked.since_s * 1000
    of_project = f" AND project_id = {literal(asked.project_id)}" if asked.project_id else ""
    return f"""
SELECT intDiv(begun_ms + duration_ms - {since_ms:d}, {asked.window_s * 1000:d}) AS part, port_id, project_id, exporter,
  direction, protocol, {_offered("destination")} AS service, {_offered("source")} AS from_service, ip_version,
  {_other("high")}, {_other("low")}, CAST(packets AS DOUBLE) * {SCALE} AS all_packets,
  CAST(bytes AS DOUBLE) * {SCALE} AS all_bytes
FROM {source} AND port_id != unhex('') AND direction IN (1, 2)
  AND begun_ms + duration_ms >= {since_ms:d} AND begun_ms + duration_ms < {asked.until_s * 1000:d}{of_project}"""  # noqa: S608


def _offered(side: str) -> str:
    """A port of TCP, UDP or SCTP that clients don't choose by themselves."""
    chosen = f"protocol IN (6, 17, 132) AND {side}_port < {EPHEMERAL}"
    return f"CASE WHEN {chosen} THEN CAST({side}_port AS UInt32) ELSE CAST({_NONE} AS UInt32) END"


def _other(half: str) -> str:
    return f"CASE WHEN direction = 1 THEN destination_{half} ELSE source_{half} END AS {half}"


def _talked(seen: str) -> str:
    best = (
        f"SELECT {_WHOSE}, exporter FROM ({seen}) GROUP BY {_WHOSE}, exporter "  # noqa: S608
        f"ORDER BY sum(all_bytes) DESC, exporter LIMIT 1 BY {_WHOSE}"
    )
    sums = "count() AS records, sum(all_packets) AS packets, sum(all_bytes) AS bytes"
    counted = f"SELECT {_SERVICE}, {_OTHER}, {sums} FROM ({seen}) WHERE ({_WHOSE}, exporter) IN ({best})"  # noqa: S608
    return f"{counted} GROUP BY {_SERVICE}, {_OTHER}"


def _services(seen: str) -> str:
    sums = "sum(records) AS all_records, sum(packets) AS all_packets, sum(bytes) AS all_bytes"
    return f"SELECT {_SERVICE}, count() AS peers, {sums} FROM ({_talked(seen)}) GROUP BY {_SERVICE}"  # noqa: S608


def _kept(seen: str, most: int) -> str:
    """The largest services of each port and direction, then of each window."""
    row = "(-all_bytes, protocol, service, project_id, peers, all_records, all_packets)"
    placed = f"""
SELECT {_WHOSE}, arraySlice(arraySort(groupArray({row})), 1, {OF_PORT}) AS ranked
FROM ({_services(seen)}) GROUP BY {_WHOSE}"""  # noqa: S608
    named = "one.1 AS less, one.2 AS protocol, one.3 AS service, one.4 AS project_id, one.5 AS peers"
    return f"""
SELECT {_SERVICE}, peers, records, packets, 0 - less FROM (
  SELECT {_WHOSE}, {named}, one.6 AS records, one.7 AS packets, place FROM ({placed})
  ARRAY JOIN ranked AS one, arrayEnumerate(ranked) AS place
) ORDER BY place, less, {_SERVICE} LIMIT {most:d} BY part"""  # noqa: S608


def _largest(seen: str, most: int) -> str:
    """The largest peers of each service, then of each window, and whether there was something the other way."""
    placed = f"""
SELECT {_SERVICE}, arraySlice(arraySort(groupArray((-bytes, {_OTHER}, records, packets))), 1, {OF_SERVICE}) AS ranked
FROM ({_talked(seen)}) GROUP BY {_SERVICE}"""  # noqa: S608
    named = "one.1 AS less, one.2 AS ip_version, one.3 AS high, one.4 AS low, one.5 AS records, one.6 AS packets"
    answers = f"""
SELECT DISTINCT part, port_id, CAST(3 - direction AS UInt8), protocol, from_service, {_OTHER} FROM ({seen})
WHERE from_service != {_NONE}"""  # noqa: S608
    return f"""
SELECT {_SERVICE}, {_OTHER}, (part, port_id, direction, protocol, service, {_OTHER}) IN ({answers}), records, packets,
  0 - less
FROM (SELECT {_SERVICE}, {named}, place FROM ({placed}) ARRAY JOIN ranked AS one, arrayEnumerate(ranked) AS place)
ORDER BY place, less, {_SERVICE}, {_OTHER} LIMIT {most:d} BY part"""  # noqa: S608


def _service_rows(rows: Texts) -> Iterator[list[Any]]:
    for part, port, project, *key, peers, records, packets, volume in rows:
        yield [int(part), port, project, *_key(*key), int(peers), int(records), float(packets), float(volume)]


def _peer_rows(rows: Texts) -> Iterator[list[Any]]:
    for part, port, project, direction, protocol, service, *other, answered, records, packets, volume in rows:
        counted = int(records), float(packets), float(volume)
        key = _key(direction, protocol, service)
        yield [int(part), port, project, *key, *map(int, other), answered == "1", *counted]


def _key(direction: str, protocol: str, service: str) -> tuple[int, int, int | None]:
    return int(direction), int(protocol), int(service) if int(service) != _NONE else None
