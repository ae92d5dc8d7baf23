"""What every engine of the history does, and the SQL that all of them understand: Parquet files that DuckDB reads
(`segments`), or a ClickHouse server (`clickhouse`). They are asked the same and answer the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from suimon.model.collectors import MappedPort, Sums, TalkAsked
from suimon.model.records import Batch
from suimon.telemetry.history.filters import Condition

HOUR_S: Final = 3600
_SLACK_BEFORE_S: Final = 600.0
_SLACK_AFTER_S: Final = 2 * HOUR_S
"""Records come up to an exporter's active timeout after they begin, and its clock may be wrong."""
_LAST_HOUR: Final = (1 << 32) - 1
SCALE: Final = "greatest(coalesce(sampling, 1), 1)"
_SUMMED: Final = {
    "records": "count(*)",
    # Exact up to 2^53, and never too large: an exporter may say anything. Integers of 128 bits cost twice as much.
    "packets": f"sum(CAST(packets AS DOUBLE) * {SCALE})",
    "bytes": f"sum(CAST(bytes AS DOUBLE) * {SCALE})",
    "sampled": "sum(CASE WHEN sampling > 1 THEN 1 ELSE 0 END)",
    "unscaled": "sum(CASE WHEN coalesce(sampling, 0) = 0 THEN 1 ELSE 0 END)",
}
SUMS: Final = ", ".join(f"{sql} AS sum_{name}" for name, sql in _SUMMED.items())
"""The fields of `Sums`, named apart from the columns: ClickHouse takes an alias for what it names, in WHERE too."""
OF_PORT: Final = 100
"""Services of a port in one direction: who scans doesn't push out what others do."""
OF_SERVICE: Final = 10
"""Peers."""
Row = dict[str, Any]


class QuestionRefused(Exception):
    """It can't be answered; str() says why."""


class Lot(NamedTuple):
    """Records that are kept together. `ports` and `exporters` are the tables that the batches point into; `came_s` is
    UTC seconds, the same whenever it is tried again, as is `number` (48 bits), which no other lot has.
    """

    batches: Sequence[Batch]
    ports: Sequence[MappedPort]
    exporters: Sequence[str]
    came_s: float
    number: int = 0

    @property
    def records(self) -> int:
        return sum(map(len, self.batches))


class Sought(NamedTuple):
    """The `limit` largest sums by these columns; without any, so many records, the newest first."""

    condition: Condition
    by: tuple[str, ...]
    order: str
    limit: int


class Talked(NamedTuple):
    """`services` and `peers` in the order in which they are told: window, port, project, direction, protocol, service
    (None: one that clients choose), then of a service its peers, of a peer the halves of its address and whether it
    answered; then records, packets and bytes. `many` is how many services a window has, and those left out.
    """

    services: Sequence[Sequence[Any]]
    peers: Sequence[Sequence[Any]]
    many: Mapping[int, int]
    since_s: int | None


class History(Protocol):
    """One caller at a time writes, one tends, and questions may come meanwhile. All methods block."""

    retries: bool
    """What could not be written may be written later: it is held, and given again as the same lot."""

    def open(self) -> None:
        """Raises OSError."""
        ...

    def close(self) -> None:
        """What goes on in other threads ends with an error."""
        ...

    def write(self, lot: Lot) -> None:
        """Raises OSError or duckdb.Error: then nothing of it can be seen, or it is looked for before it is written
        again.
        """
        ...

    def tend(self) -> None:
        """Pack and forget. Raises OSError or duckdb.Error."""
        ...

    def find(self, sought: Sought, timeout_s: float) -> tuple[list[Row], Sums]:
        """Rows by column, `sum_…` among them, and the sums of all that matches. Raises QuestionRefused."""
        ...

    def talked(self, asked: TalkAsked, timeout_s: float) -> Talked:
        """Who talked with whom, in numbers (`talk.talk`). Raises QuestionRefused."""
        ...


def hours(since_s: float | None, until_s: float | None) -> tuple[int, int]:
    """The first and last hour of arrival, since 1970, in which records of that time may lie."""
    first = (since_s - _SLACK_BEFORE_S) // HOUR_S if since_s is not None else 0
    last = (until_s + _SLACK_AFTER_S) // HOUR_S if until_s is not None else _LAST_HOUR
    return max(0, int(first)), min(_LAST_HOUR, int(last))


def too_late(timeout_s: float) -> QuestionRefused:
    return QuestionRefused(f"it takes longer than {timeout_s:g} s: ask for less time, or for one port")


def sums(row: Row) -> Sums:
    """Of a row that has all `sum_…`; those of nothing may be null."""
    return Sums(**{name: int(row[f"sum_{name}"] or 0) for name in _SUMMED})
