"""What the records of an hour come to, beside its file: who asks for sums of whole hours needs no records
(docs/decisions/0085).

A row has the columns of its kind and the `sum_…` of the records that are alike in them. Its times are theirs, rounded
down to whole hours: a condition that compares times with whole hours holds for it if it holds for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import duckdb

from suimon.telemetry.history.columns import COLUMNS
from suimon.telemetry.history.engine import HOUR_S, SUMS, Sought
from suimon.telemetry.history.filters import Condition

KINDS: Final = (
    ("port_id", "project_id", "network_id", "host", "exporter", "direction", "protocol", "ip_version"),
    ("direction", "protocol", "source_port"),
    ("direction", "protocol", "destination_port"),
    ("direction", "protocol", "ip_version", "source_high", "source_low"),
    ("direction", "protocol", "ip_version", "destination_high", "destination_low"),
)
"""The smallest first. What would make them many times more, as a port does with addresses, leaves few records when it
is in a filter, and those are found soon."""
_TIMES: Final = ("begun_ms", "duration_ms")
WORTH: Final = 16
"""Records a row, at least: where each has an address of its own, rows are as many and as large as records."""
_HOUR_MS: Final = HOUR_S * 1000


def summary_of(hour: Path) -> Path:
    """Where that of an hour's file is. It isn't called .parquet: who reads records from a folder doesn't meet it."""
    return hour.with_suffix(".sums")


def sum_up(cursor: duckdb.DuckDBPyConnection, source: str, into: Path) -> None:
    """Write the summary of the records that are selected from `source`, with the kinds that are worth it. Raises
    duckdb.Error.
    """
    begun, ended = (f"{moment} - ({moment}) % {_HOUR_MS}" for moment in ("begun_ms", "begun_ms + duration_ms"))
    cursor.execute(f"CREATE TEMPORARY VIEW hourly AS SELECT *, {begun} AS of_begin, {ended} AS of_end FROM {source}")  # noqa: S608
    # Only about, but in memory that does not grow: who makes addresses up chooses how many there are.
    counts = ", ".join(f"approx_count_distinct(hash({', '.join(kind)}, of_begin, of_end))" for kind in KINDS)
    records, *rows = cursor.execute(f"SELECT count(*), {counts} FROM hourly").fetchall()[0]  # noqa: S608
    worth = [kind for kind, many in zip(KINDS, rows, strict=True) if many * WORTH <= records]
    kinds = worth or KINDS
    keys = [name for name in COLUMNS if any(name in kind for kind in kinds)]
    named = " ".join(f"WHEN {_left_out(kind, keys)} THEN '{name_of(kind)}'" for kind in kinds)
    sets = ", ".join(f"({', '.join(kind)}, of_begin, of_end)" for kind in kinds)
    listed = ", ".join(keys)
    grouped = f"""
SELECT CASE GROUPING_ID({listed}) {named} END AS kind, {listed}, of_begin AS begun_ms,
  of_end - of_begin AS duration_ms, {SUMS}
FROM hourly WHERE {len(worth):d} > 0 GROUP BY GROUPING SETS ({sets}) ORDER BY ALL"""  # noqa: S608
    cursor.execute(f"COPY ({grouped}) TO {_quoted(into)} (FORMAT parquet, PARQUET_VERSION V2, CODEC zstd)")


def answering(cursor: duckdb.DuckDBPyConnection, hours: Sequence[Path], sought: Sought) -> tuple[list[Path], str]:
    """Those of the files whose summaries answer as their records would; if any, what to select their rows from, with
    the columns that are asked for and `sum_…`. Raises duckdb.Error.
    """
    kind = _kind(sought)
    there = {str(summary_of(each)): each for each in hours if summary_of(each).exists()} if kind else {}
    if not there:
        return [], ""
    # What lies in an hour that a moment parts may match or not, and its row doesn't say.
    source = f"(SELECT * FROM {_read(there)} WHERE kind = '{name_of(kind)}')"  # noqa: S608
    mixed = "list_contains(?::BIGINT[], begun_ms) OR list_contains(?::BIGINT[], begun_ms + duration_ms)"
    asked = f"SELECT filename FROM {source} GROUP BY filename HAVING NOT coalesce(bool_or({mixed}), false)"  # noqa: S608
    parted = [_parted(sought.condition, side) for side in ("begun", "ended")]
    whole = [name for (name,) in cursor.execute(asked, parted).fetchall()]
    return [there[name] for name in whole], f"(SELECT * FROM {_read(whole)} WHERE kind = '{name_of(kind)}')"  # noqa: S608


def _kind(sought: Sought) -> tuple[str, ...]:
    """The first with all columns that are asked for, but for times; empty if none has. Of other columns a condition
    could not be known, and records by themselves have no sums.
    """
    wanted = {*sought.by, *re.findall(r"\w+", sought.condition.sql)} & COLUMNS.keys() - {*_TIMES}
    return next((kind for kind in KINDS if sought.by and wanted <= {*kind}), ())


def _parted(condition: Condition, side: str) -> list[int]:
    """The hours that it cuts in two: those in which a moment lies, but for those that begin with it."""
    return [ms // _HOUR_MS * _HOUR_MS for of, ms in condition.moments if of == side and ms % _HOUR_MS]


def name_of(kind: Iterable[str]) -> str:
    return ",".join(kind)


def _left_out(kind: tuple[str, ...], keys: Iterable[str]) -> int:
    """As GROUPING_ID has it: a bit for each key, the first the highest, of those that aren't grouped by."""
    return int("".join(str(int(name not in kind)) for name in keys), 2)


def _read(summaries: Iterable[str]) -> str:
    return f"read_parquet([{', '.join(map(_quoted, summaries))}], union_by_name = true, filename = true)"


def _quoted(path: Path | str) -> str:
    return "'{}'".format(str(path).replace("'", "''"))
