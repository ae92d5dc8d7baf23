"""A ClickHouse server that keeps the records of many collectors in one table, `suimon_flows`.

A partition is what one collector got in an hour, by when records came; it is dropped whole. What a caller said reaches
the SQL as decimal digits, or as hexadecimal ones within `unhex('…')`: that holds for every version, also for those that
know no parameters. No column is null, and no text of a port is empty: an empty one is that of no port.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import msgspec
import structlog

from suimon.model.collectors import Sums, TalkAsked
from suimon.telemetry.history import talk_clickhouse
from suimon.telemetry.history.clickhouse_http import Server, ServerError
from suimon.telemetry.history.clickhouse_sql import Ask, Texts, literal, rows_of, spliced
from suimon.telemetry.history.columns import COLUMNS, LABELS, TEXTS
from suimon.telemetry.history.engine import (
    HOUR_S,
    SUMS,
    Lot,
    QuestionRefused,
    Row,
    Sought,
    Talked,
    hours,
    sums,
    too_late,
)
from suimon.telemetry.history.native import TYPES, blocks

log = structlog.get_logger()

TABLE: Final = "suimon_flows"
_OWN: Final = {"collector": "String", "hour": "UInt64", "lot": "UInt64", "part": "UInt64"}
_SCHEMA: Final = {**_OWN, **TYPES}
_MADE: Final = (
    f"CREATE TABLE IF NOT EXISTS {TABLE} ({', '.join(f'{name} {kind}' for name, kind in _SCHEMA.items())}) "
    "ENGINE = MergeTree PARTITION BY (collector, hour) ORDER BY (port_id, direction, begun_ms)"
)
_MOST_ROWS: Final = 250_000
"""Of a block. The server makes one part of a block, whole or not at all, while it has less than a million rows and
256 MB."""
_LOOK_S: Final = 15.0
_TOO_LATE: Final = {159, 160}
"""TIMEOUT_EXCEEDED, TOO_SLOW."""
_PARTITION: Final = re.compile(r"\('([\w.-]+)',(\d+)\)")
_PARTS: Final = (
    "SELECT partition, partition_id, sum(bytes_on_disk) FROM system.parts "  # noqa: S608
    f"WHERE active AND database = currentDatabase() AND table = '{TABLE}' GROUP BY partition, partition_id"
)


class Config(msgspec.Struct, frozen=True):
    """Whose records these are, how long and how much of them is kept, and how long a block may take to be written."""

    collector: str
    most_age_s: float = 30 * 86400.0
    most_bytes: int = 50 << 30
    write_s: float = 30.0


class ClickHouse:
    """Raises OSError where the server is away or says no; it may come back."""

    retries = True

    def __init__(self, config: Config, server: Server, now: Callable[[], float]) -> None:
        if not re.fullmatch(r"[\w.-]+", config.collector, re.ASCII):
            raise ValueError(f"a collector that keeps records in ClickHouse has a plain name, not {config.collector!r}")
        self._config, self._server, self._now = config, server, now
        self._mine = f"collector = {literal(config.collector)}"
        self._ready, self._preparing = False, threading.Lock()
        self._lot, self._done, self._unsure = -1, 0, False

    def open(self) -> None:
        """The server needn't be there yet."""

    def close(self) -> None:
        self._server.close()

    def write(self, lot: Lot) -> None:
        """Each block at most once: whether one is there that was not acknowledged is asked before it is sent again."""
        if lot.number != self._lot:
            self._lot, self._done, self._unsure = lot.number, 0, False
        self._prepare()
        hour = int(lot.came_s) // HOUR_S
        same: dict[str, int | str] = {"collector": self._config.collector, "hour": hour, "lot": lot.number}
        columns = ", ".join(_SCHEMA)
        for part, block in enumerate(blocks(lot, _MOST_ROWS, same)):
            if part < self._done:
                continue
            if not (self._unsure and self._there(hour, lot.number, part)):
                self._unsure = True
                self._put(f"INSERT INTO {TABLE} ({columns}) FORMAT Native", block, f"suimon-{lot.number}-{part}")
            self._done, self._unsure = part + 1, False

    def tend(self) -> None:
        """Forget what is too old, and the oldest while there is too much."""
        self._prepare()
        mine = _partitions(self._config.collector, rows_of(self._server.ask(_PARTS, _LOOK_S))[0])
        total = sum(size for _, _, size in mine)
        oldest = (self._now() - self._config.most_age_s) // HOUR_S
        for hour, identifier, size in sorted(mine):
            if hour >= oldest and total <= self._config.most_bytes:
                break
            self._server.ask(f"ALTER TABLE {TABLE} DROP PARTITION ID '{identifier}'", _LOOK_S)
            total -= size
            log.info("flow_records_forgotten", hour=hour)

    def find(self, sought: Sought, timeout_s: float) -> tuple[list[Row], Sums]:
        condition, keys = sought.condition, ", ".join(sought.by)
        matching = spliced(condition.sql, condition.parameters)
        where = f"FROM {self._source(condition.since_s, condition.until_s)} AND {matching}"
        with self._asking(timeout_s) as ask:
            if keys:
                # Those of no port come last, as null ones do elsewhere.
                by = ", ".join(f"empty({name}), {name}" if name in TEXTS else name for name in sought.by)
                order = f"ORDER BY sum_{sought.order} DESC, {by} LIMIT {sought.limit:d}"
                rows, total = ask(f"SELECT {keys}, {SUMS} {where} GROUP BY {keys} WITH TOTALS {order}")
                names = (*sought.by, *_SUM_NAMES)
            else:
                total, _ = ask(f"SELECT {SUMS} {where}")
                rows, _ = ask(f"SELECT {', '.join(COLUMNS)} {where} ORDER BY begun_ms DESC LIMIT {sought.limit:d}")
                names = tuple(COLUMNS)
        totals = _typed(names if keys else _SUM_NAMES, total[0]) if total else None
        return [_typed(names, row) for row in rows], sums(totals) if totals else Sums()

    def talked(self, asked: TalkAsked, timeout_s: float) -> Talked:
        source = self._source(asked.since_s, asked.until_s)
        with self._asking(timeout_s) as ask:
            return Talked(*talk_clickhouse.talked(ask, source, asked), self._since_s(ask))

    def _source(self, since_s: float | None, until_s: float | None) -> str:
        """What to select from, up to a condition that more may be added to: the records that may lie in that time."""
        first, last = hours(since_s, until_s)
        return f"{TABLE} WHERE {self._mine} AND hour BETWEEN {first:d} AND {last:d}"

    @contextmanager
    def _asking(self, timeout_s: float) -> Iterator[Ask]:
        """To ask several things: rows of a SELECT, and the totals of them all. Raises QuestionRefused."""
        until_s = time.monotonic() + timeout_s

        def ask(select: str) -> tuple[Texts, Texts]:
            left_s = until_s - time.monotonic()
            self._prepare()
            # Whatever were in it, it could change nothing (2: but the settings of one question).
            said = self._server.ask(select, left_s, readonly=2, max_execution_time=max(1, int(left_s)))
            return rows_of(said)

        try:
            yield ask
        except TimeoutError:
            raise too_late(timeout_s) from None
        except OSError as error:
            if isinstance(error, ServerError) and error.code in _TOO_LATE:
                raise too_late(timeout_s) from None
            log.warning("history_not_asked", reason=str(error))
            raise QuestionRefused("the server that keeps the records can't answer now") from error

    def _since_s(self, ask: Ask) -> int | None:
        """From which hour on there are records; None: there are none."""
        mine = _partitions(self._config.collector, ask(_PARTS)[0])
        return min((hour * HOUR_S for hour, _, _ in mine), default=None)

    def _put(self, statement: str, block: bytes, query_id: str) -> None:
        try:
            self._server.put(statement, block, self._config.write_s, query_id)
        except ServerError:
            self._ready = False  # Somebody may have taken the table away.
            raise

    def _there(self, hour: int, lot: int, part: int) -> bool:
        """Raises OSError while it still comes."""
        coming = f"SELECT count() FROM system.processes WHERE query_id = 'suimon-{lot:d}-{part:d}'"  # noqa: S608
        if self._server.ask(coming, _LOOK_S).strip() != "0":
            raise OSError(f"{self._server}: an insert that was not acknowledged goes on")
        of_block = f"{self._mine} AND hour = {hour:d} AND lot = {lot:d} AND part = {part:d}"
        return self._server.ask(f"SELECT count() FROM {TABLE} WHERE {of_block}", _LOOK_S).strip() != "0"  # noqa: S608

    def _prepare(self) -> None:
        """The table, with the columns that it lacked."""
        with self._preparing:
            if self._ready:
                return
            self._server.ask(_MADE, _LOOK_S)
            asked = f"SELECT name FROM system.columns WHERE database = currentDatabase() AND table = '{TABLE}'"  # noqa: S608
            there = {name for (name,) in rows_of(self._server.ask(asked, _LOOK_S))[0]}
            for name, kind in _SCHEMA.items():
                if name not in there:
                    self._server.ask(f"ALTER TABLE {TABLE} ADD COLUMN {name} {kind}", _LOOK_S)
            self._ready = True


_SUM_NAMES: Final = tuple(f"sum_{name}" for name in Sums.__struct_fields__)


def _partitions(collector: str, rows: Texts) -> list[tuple[int, str, int]]:
    """Hour, id and bytes of each of a collector's."""
    mine = []
    for name, identifier, took in rows:
        found = _PARTITION.fullmatch(name)
        if found and found[1] == collector and re.fullmatch(r"[0-9a-zA-Z-]+", identifier):
            mine.append((int(found[2]), identifier, int(took)))
    return mine


def _typed(names: Sequence[str], row: Sequence[str]) -> Row:
    told: Row = {}
    for name, value in zip(names, row, strict=True):
        if name in TEXTS:
            told[name] = value or None if name in LABELS else value
        else:
            told[name] = float(value) if name.startswith("sum_") else int(value)
    return told
