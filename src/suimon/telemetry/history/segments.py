"""The files: small ones while an hour lasts, then one for the hour, sorted so that it packs well.

`open/HOUR-NUMBER.parquet` is what came in some seconds, `hours/HOUR.parquet` all of an hour; HOUR counts since 1970, by
when records came. A file appears by being renamed, whole and on disk; where an hour's file is there, its small ones are
left over from a crash and are not read. `hours/HOUR.sums` is what its records come to: it appears after that file and
goes before it, and nothing is wrong without it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

import duckdb
import msgspec
import structlog

from suimon.model.collectors import Sums, TalkAsked
from suimon.model.records import TOGETHER
from suimon.telemetry.history import packing, runs, summaries, summing, talk_files
from suimon.telemetry.history.columns import COLUMNS, TEXTS, Texts, stored
from suimon.telemetry.history.engine import HOUR_S, SUMS, Lot, Row, Sought, Talked, hours, sums, too_late
from suimon.telemetry.history.parquet import Writer
from suimon.telemetry.history.parts import Unreadable

log = structlog.get_logger()
T = TypeVar("T")

_SUM_NAMES: Final = tuple(f"sum_{name}" for name in Sums.__struct_fields__)
_OF_SUMS: Final = ", ".join(f"sum({name}) AS {name}" for name in _SUM_NAMES)
_CLOSING_S: Final = 1.0
"""In which those at work see that they are interrupted."""


class Config(msgspec.Struct, frozen=True):
    """Where, how long and how much; `memory` and `threads` are what DuckDB may take."""

    directory: Path
    most_age_s: float = 30 * 86400.0
    most_bytes: int = 50 << 30
    memory: str = "1GB"
    threads: int = 2


class Segments:
    """What raises OSError or duckdb.Error has changed nothing that can be seen."""

    retries = False
    """A disk that is full stays so for long: what it has no room for is given up."""

    def __init__(self, config: Config, now: Callable[[], float]) -> None:
        self._config, self._now = config, now
        self._open, self._hours = config.directory / "open", config.directory / "hours"
        self._number, self._texts = 0, Texts()
        self._reading, self._small = threading.Lock(), threading.Lock()
        self._summed: tuple[int, summing.Summing] | None = None
        """The hour that was packed last, and what it comes to: it is written once nothing else is missing."""
        self._packing = -1
        """The hour whose small files are being packed: no more of them appear."""
        self._closing = threading.Event()
        self._database: duckdb.DuckDBPyConnection | None = None
        self._cursors: set[duckdb.DuckDBPyConnection] = set()

    def open(self) -> None:
        """Clear what a crash left. Raises OSError."""
        for each in (self._open, self._hours):
            each.mkdir(parents=True, exist_ok=True)
            for unfinished in each.glob("*.unfinished"):
                unfinished.unlink()
        for left in self._hours.glob("*.sums"):
            if not self._compacted(_hour(left)).exists():
                left.unlink()
        for left in self._open.glob("*.parquet"):
            if self._compacted(_hour(left)).exists():
                left.unlink()
            self._number = max(self._number, int(left.stem.split("-")[1]))
        database = duckdb.connect()
        self._closing.clear()
        columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        database.execute(f"CREATE TABLE nothing ({columns})")
        settings = {"memory_limit": self._config.memory, "threads": self._config.threads, "enable_progress_bar": False}
        settings |= {"temp_directory": str(self._config.directory / "spill"), "preserve_insertion_order": False}
        for name, value in settings.items():
            database.execute(f"SET {name} = '{value}'")
        # A question is never text of a caller's; if it ever were, it still could read these files only.
        database.execute(f"SET allowed_directories = ['{_quoted(self._config.directory)}']")
        database.execute("SET enable_external_access = false")
        database.execute("SET lock_configuration = true")
        self._database = database

    def close(self) -> None:
        """What goes on in other threads ends with an error: to pack an hour takes minutes."""
        self._closing.set()
        until_s = time.monotonic() + _CLOSING_S
        # Who is just beginning a statement forgets that it was interrupted, and closing would wait for its end.
        while self._cursors and time.monotonic() < until_s:
            for cursor in list(self._cursors):
                with suppress(duckdb.Error):
                    cursor.interrupt()
            time.sleep(0.01)
        if self._database:
            with suppress(duckdb.Error):
                self._database.close()

    def write(self, lot: Lot) -> None:
        """Keep them in a file of their own."""
        with self._small:
            hour = int(lot.came_s) // HOUR_S
            # They came as it ended, or the clock was set back: what is said of that hour is closed.
            while hour == self._packing or self._compacted(hour).exists():
                hour += 1
            self._number += 1
            with (
                self._appearing(self._open / f"{hour}-{self._number}.parquet") as unfinished,
                unfinished.open("wb") as file,
            ):
                made = Writer(file, COLUMNS)
                for columns in stored(lot, self._texts, TOGETHER):
                    made.add(columns)
                made.close()

    def tend(self) -> None:
        """Pack what is over, then forget: also when there was no room to pack."""
        try:
            self.compact()
            self.sum_up()
        finally:
            self.prune()

    def compact(self) -> None:
        """Make one file of each hour that is over."""
        present = int(self._now()) // HOUR_S
        for hour in sorted({_hour(each) for each in self._open.glob("*.parquet")}):
            if hour < present and not self._compacted(hour).exists():
                with self._parts(hour) as parts:
                    self._pack(hour, parts)
                with self._reading:
                    for each in parts:
                        each.unlink()

    @contextmanager
    def _parts(self, hour: int) -> Iterator[list[Path]]:
        """Its small files, to which none is added meanwhile."""
        with self._small:
            self._packing = hour
            parts = [each for each in self._open.glob("*.parquet") if _hour(each) == hour]
        try:
            yield parts
        finally:
            self._packing = -1

    def _pack(self, hour: int, parts: Sequence[Path]) -> None:
        with self._appearing(self._compacted(hour)) as unfinished:
            if packing.ready():
                try:
                    adding = summing.Summing() if summing.ready() else None
                    with unfinished.open("wb") as file:
                        runs.pack(parts, file, self._going, adding)
                    self._summed = (hour, adding) if adding else None
                    return
                except Unreadable as error:  # Of an older version, or whatever DuckDB makes of it.
                    log.warning("flow_records_packed_by_duckdb", reason=str(error))
            with self._cursor() as cursor:
                _enumerate(cursor, _all_of(parts), TEXTS)
                kept = ", ".join(_as_enums([name]) if name in TEXTS else name for name in COLUMNS)
                packed = f"SELECT * FROM (SELECT {kept} FROM {_all_of(parts)}) ORDER BY {', '.join(runs.ORDER)}"  # noqa: S608
                how = "FORMAT parquet, PARQUET_VERSION V2, CODEC zstd, ROW_GROUP_SIZE 500000"
                cursor.execute(f"COPY ({packed}) TO '{_quoted(unfinished)}' ({how})")

    def _going(self) -> None:
        """Raises InterruptedError when it is to end."""
        if self._closing.is_set():
            raise InterruptedError("the history is closed")

    def sum_up(self) -> None:
        """Give the last hour that lacks its summary one: one at a time, as files are forgotten after it."""
        packed = self._hours.glob("*.parquet")
        lacking = [each for each in packed if not summaries.summary_of(each).exists()]
        if lacking:
            last = max(lacking, key=_hour)
            with self._appearing(summaries.summary_of(last)) as unfinished:
                if self._summed and self._summed[0] == _hour(last):
                    with unfinished.open("wb") as file:
                        self._summed[1].write(file)
                else:
                    with self._cursor() as cursor:
                        summaries.sum_up(cursor, _all_of([last]), unfinished)
        self._summed = None

    def prune(self) -> None:
        """Forget what is too old, and the oldest while there is too much."""
        files = sorted(self.files(), key=_hour)
        total = sum(map(_size, files))
        oldest = (self._now() - self._config.most_age_s) // HOUR_S
        for each in files:
            if _hour(each) >= oldest and total <= self._config.most_bytes:
                break
            with self._reading:
                total -= _size(each)
                summaries.summary_of(each).unlink(missing_ok=True)
                each.unlink()
            log.info("flow_records_forgotten", file=each.name)

    def files(self) -> list[Path]:
        return files_of(self._config.directory)

    def since_s(self) -> int | None:
        """From which hour on there are records; None: there are none."""
        return min((_hour(each) * HOUR_S for each in self.files()), default=None)

    @contextmanager
    def _asked(
        self, since_s: float | None, until_s: float | None
    ) -> Iterator[tuple[duckdb.DuckDBPyConnection, list[Path]]]:
        """A cursor, and the files with the records that may lie in that time. One caller at a time."""
        first, last = hours(since_s, until_s)
        with self._reading, self._cursor() as cursor:
            yield cursor, [each for each in self.files() if first <= _hour(each) <= last]

    def find(self, sought: Sought, timeout_s: float) -> tuple[list[Row], Sums]:
        condition = sought.condition
        with self._asked(condition.since_s, condition.until_s) as (cursor, files):
            return _in_time(cursor, timeout_s, lambda: _found(cursor, files, sought))

    def talked(self, asked: TalkAsked, timeout_s: float) -> Talked:
        with self._asked(asked.since_s, asked.until_s) as (cursor, files):
            told = _in_time(cursor, timeout_s, lambda: talk_files.talked(cursor, _all_of(files), asked))
        return Talked(*told, self.since_s())

    @contextmanager
    def _appearing(self, path: Path) -> Iterator[Path]:
        """Where to write what will be that file, whole and on disk, or not at all."""
        unfinished = path.with_suffix(".unfinished")
        try:
            yield unfinished
            _to_disk(unfinished)
            unfinished.rename(path)
            _to_disk(path.parent)
        except (OSError, duckdb.Error):
            unfinished.unlink(missing_ok=True)
            raise

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        assert self._database is not None, "open() comes first"
        cursor = self._database.cursor()
        self._cursors.add(cursor)
        try:
            yield cursor
        finally:
            self._cursors.remove(cursor)
            cursor.close()

    def _compacted(self, hour: int) -> Path:
        return self._hours / f"{hour}.parquet"


def files_of(directory: Path) -> list[Path]:
    """All that are read, each record in one of them."""
    hours = [*(directory / "hours").glob("*.parquet")]
    done = {_hour(each) for each in hours}
    return [*hours, *(each for each in (directory / "open").glob("*.parquet") if _hour(each) not in done)]


def _in_time(cursor: duckdb.DuckDBPyConnection, timeout_s: float, act: Callable[[], T]) -> T:
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
        raise too_late(timeout_s)
    return found


def _found(cursor: duckdb.DuckDBPyConnection, files: Sequence[Path], sought: Sought) -> tuple[list[Row], Sums]:
    summed, summary = summaries.answering(cursor, files, sought)
    source = _all_of([each for each in files if each not in summed])
    where, parameters = f"FROM {source} WHERE {sought.condition.sql}", [*sought.condition.parameters]
    keys = ", ".join(sought.by)
    # All records are read once: what they are in all follows from the groups.
    grouped = f"SELECT {keys}, {SUMS} {where} GROUP BY {keys}" if keys else f"SELECT {SUMS} {where}"
    if summed:
        more = f"SELECT {keys}, {', '.join(_SUM_NAMES)} FROM {summary} WHERE {sought.condition.sql}"  # noqa: S608
        grouped = f"SELECT {keys}, {_OF_SUMS} FROM ({grouped} UNION ALL BY NAME {more}) GROUP BY {keys}"  # noqa: S608
    cursor.execute(f"CREATE TEMPORARY TABLE found AS {grouped}", parameters * (2 if summed else 1))
    (total,) = _rows(cursor, f"SELECT {_OF_SUMS} FROM found", [])  # noqa: S608
    if keys:
        order = f"ORDER BY sum_{sought.order} DESC, {keys} LIMIT {sought.limit:d}"
        return _rows(cursor, f"SELECT * FROM found {order}", []), sums(total)  # noqa: S608
    newest = f"SELECT {', '.join(COLUMNS)} {where} ORDER BY begun_ms DESC LIMIT {sought.limit:d}"
    return _rows(cursor, newest, parameters), sums(total)


def _rows(cursor: duckdb.DuckDBPyConnection, sql: str, parameters: list[object]) -> list[Row]:
    found = cursor.execute(sql, parameters)
    names = [each[0] for each in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _enumerate(cursor: duckdb.DuckDBPyConnection, source: str, columns: Iterable[str]) -> None:
    """A type for each of these columns, of what is in it and in its order. Sorting and packing texts costs twice as
    much as their numbers, and few texts are in millions of records. The types end with the cursor.
    """
    for name in columns:
        # Of nothing there is no type: an empty text is never there, and makes one.
        known = f"SELECT DISTINCT {name}::VARCHAR AS known FROM {source} WHERE {name} IS NOT NULL"  # noqa: S608
        cursor.execute(f"CREATE TEMP TYPE {name}_enum AS ENUM ({known} UNION SELECT '' ORDER BY known)")


def _as_enums(columns: Iterable[str]) -> str:
    return ", ".join(f"{name}::VARCHAR::{name}_enum AS {name}" for name in columns)


def _all_of(files: Sequence[Path]) -> str:
    """With all columns, whichever the files have."""
    if not files:
        return "nothing"
    names = ", ".join(f"'{_quoted(each)}'" for each in files)
    read = f"SELECT * FROM read_parquet([{names}], union_by_name = true)"  # noqa: S608
    return f"(SELECT * FROM nothing UNION ALL BY NAME {read})"  # noqa: S608


def _hour(path: Path) -> int:
    return int(path.stem.split("-")[0])


def _size(path: Path) -> int:
    """Bytes, with its summary's."""
    summary = summaries.summary_of(path)
    return path.stat().st_size + (summary.stat().st_size if summary.exists() else 0)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _to_disk(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
