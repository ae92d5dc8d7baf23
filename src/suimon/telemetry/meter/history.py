"""What was metered, kept: heads and samples in one transaction, rolled up to minutes, to five, and to hours.

A roll-up is the sum of its parts and moves its mark in the same transaction: one that was interrupted is done again
whole, one that was done is never repeated. Rows of a grain are deleted only when the next one has them.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from suimon.model.samples import Sample
from suimon.telemetry.meter.database import Database
from suimon.telemetry.meter.ledger import HostHead, Told, added, advance, figures
from suimon.telemetry.meter.packing import Whose, pack, unpack, unpack_roster
from suimon.telemetry.meter.tables import HEADS, MARKS, MONTHS, PRESENCE, ROSTERS, SAMPLES

READ: Final = 0
"""The grain of readings, as they came."""
ROLLED: Final = (60, 300, 3600)
"""The grains that are made of the one before, in seconds."""
_CLOSED: Final = "closed"
_SEEN_EVERY_MS: Final = 6 * 3600 * 1000
"""How late a last sight may be told."""
_AT_ONCE: Final = 60
"""Spans that one transaction rolls up."""


class Config(msgspec.Struct, frozen=True):
    """How long each grain is kept. `settled_s` after a span's end nothing is added to it any more.

    Five minutes are those of a month and the one before, and are kept until their month is closed in any case.
    """

    keep_read_s: float = 6 * 3600.0
    keep_minutes_s: float = 8 * 86400.0
    keep_fives_s: float = 64 * 86400.0
    keep_hours_s: float = 3 * 366 * 86400.0
    settled_s: float = 90.0
    latest_s: float = 30.0
    """A reading that comes later than this after it was made, counts as made so long ago."""

    def kept_s(self, grain_s: int) -> float:
        finer = {READ: self.keep_read_s, ROLLED[0]: self.keep_minutes_s, ROLLED[1]: self.keep_fives_s}
        return finer.get(grain_s, self.keep_hours_s)


class History:
    """Every method is one transaction and blocks: they are for a thread. They raise `database.Trouble`."""

    def __init__(self, config: Config, database: Database) -> None:
        self.config = config
        self._database = database
        self._rosters: dict[bytes, list[Whose]] = {}
        self._seen_ms: dict[tuple[str, str], int] = {}

    def note(self, readings: Sequence[Told], now_s: float) -> list[Sample]:
        """Add up what hosts told; what passed since they told the last time."""
        found: list[Sample] = []
        with self._writing() as connection:
            began_s = _mark(connection, "began", round(now_s * 1000)) / 1000
            for told in sorted(readings, key=lambda each: each.host):
                late = msgspec.structs.replace(told, read_s=max(told.read_s, now_s - self.config.latest_s))
                row = connection.execute(
                    select(HEADS.c.body).where(HEADS.c.host == told.host).with_for_update()
                ).scalar()
                before = _head(row) if row else HostHead()
                head, samples = advance(before, late, began_s)
                if head is before:
                    continue
                body = {"body": zlib.compress(msgspec.msgpack.encode(head), 1)}
                if row:
                    connection.execute(update(HEADS).where(HEADS.c.host == told.host).values(body))
                else:
                    connection.execute(insert(HEADS).values(host=told.host, **body))
                self._keep(connection, READ, samples)
                found += samples
        return found

    def roll_up(self, now_s: float) -> bool:
        """Make what is settled of each coarser grain; whether there may be more to do."""
        more = False
        with self._writing() as connection:
            settled_ms = round((now_s - self.config.settled_s) * 1000)
            for fine, coarse in zip((READ, *ROLLED), ROLLED, strict=False):
                span_ms, last_ms = coarse * 1000, settled_ms - settled_ms % (coarse * 1000)
                began_ms = _mark(connection, "began", round(now_s * 1000))
                mark_ms = _mark(connection, str(coarse), began_ms - began_ms % span_ms)
                until_ms = min(last_ms, mark_ms + _AT_ONCE * span_ms)
                if until_ms > mark_ms:
                    self._roll(connection, (fine, coarse), mark_ms, until_ms)
                    more = more or until_ms < last_ms
                elif until_ms < mark_ms:  # The clock was ahead: what comes until then has to be in it, too.
                    early = SAMPLES.c.grain_s == coarse, SAMPLES.c.ended_ms > until_ms
                    connection.execute(delete(SAMPLES).where(*early))
                if until_ms != mark_ms:
                    connection.execute(update(MARKS).where(MARKS.c.name == str(coarse)).values(at_ms=until_ms))
                settled_ms = until_ms
        return more

    def forget(self, now_s: float) -> None:
        """Delete what is older than it is kept for, and whatever only that needed."""
        with self._writing() as connection:
            for grain, coarser in zip((READ, *ROLLED), (*ROLLED, None), strict=True):
                oldest_ms = round((now_s - self.config.kept_s(grain)) * 1000)
                if coarser:
                    oldest_ms = min(oldest_ms, _mark(connection, str(coarser)))
                if grain == ROLLED[1]:
                    oldest_ms = min(oldest_ms, _mark(connection, _CLOSED))
                old = SAMPLES.c.grain_s == grain, SAMPLES.c.ended_ms <= oldest_ms
                connection.execute(delete(SAMPLES).where(*old))
            connection.execute(delete(ROSTERS).where(ROSTERS.c.id.not_in(select(SAMPLES.c.roster))))
            gone_ms = round((now_s - self.config.keep_hours_s) * 1000)
            connection.execute(delete(PRESENCE).where(PRESENCE.c.seen_ms < gone_ms))
            self._rosters.clear()
            self._seen_ms.clear()

    def samples(self, subject: str, since_s: float, until_s: float, coarsest_s: int) -> list[Sample]:
        """Of a port, project or network (all, if empty): those that ended after `since_s` and not after `until_s`.

        As coarse as there are, but no coarser than `coarsest_s`, of which the two times are multiples.
        """
        found: list[Sample] = []
        wanted = frozenset([subject] if subject else [])
        with self._database.transaction(reading=True) as connection:
            hosts = None
            if subject:
                seen = select(PRESENCE.c.host).where(PRESENCE.c.subject == subject)
                hosts = list(connection.execute(seen).scalars())
            since_ms = round(since_s * 1000)
            for grain in (*(grain for grain in reversed(ROLLED) if coarsest_s % grain == 0 and coarsest_s), READ):
                until_ms = round(until_s * 1000)
                if grain:
                    until_ms = min(until_ms, _mark(connection, str(grain)))
                for row in _rows(connection, grain, (since_ms, until_ms), hosts):
                    found += unpack(self._roster(connection, row.roster), row.body, row.host, row.ended_ms, wanted)
                since_ms = max(since_ms, until_ms)
        return found

    def settled_s(self, grain_s: int = ROLLED[0]) -> float:
        """Up to where minutes are complete: nothing is added to what ended before any more. 0: none are."""
        with self._database.transaction(reading=True) as connection:
            return _mark(connection, str(grain_s)) / 1000

    def began_s(self) -> float:
        """Since when there is metering. 0: there is none."""
        with self._database.transaction(reading=True) as connection:
            return _mark(connection, "began") / 1000

    def closed_s(self) -> float:
        """Up to where months are closed. 0: none is."""
        with self._database.transaction(reading=True) as connection:
            return _mark(connection, _CLOSED) / 1000

    def closed_months(self) -> list[str]:
        with self._database.transaction(reading=True) as connection:
            return list(connection.execute(select(MONTHS.c.month).order_by(MONTHS.c.month)).scalars())

    def closed_month(self, name: str) -> bytes | None:
        """What `close_month` was told, if it was."""
        with self._database.transaction(reading=True) as connection:
            body = connection.execute(select(MONTHS.c.body).where(MONTHS.c.month == name)).scalar()
        return None if body is None else zlib.decompress(body)

    def close_month(self, name: str, body: bytes, until_s: float) -> None:
        """Keep what a month came to for good, and that all months until then are closed. Once: the first one stays."""
        with self._writing() as connection:
            row = {"month": name, "body": zlib.compress(body)}
            connection.execute(_insert(connection, MONTHS).values(row).on_conflict_do_nothing())
            until_ms = max(_mark(connection, _CLOSED, 0), round(until_s * 1000))
            connection.execute(update(MARKS).where(MARKS.c.name == _CLOSED).values(at_ms=until_ms))

    def heads(self) -> dict[str, HostHead]:
        """By host, what was ever metered."""
        with self._database.transaction(reading=True) as connection:
            rows = connection.execute(select(HEADS.c.host, HEADS.c.body).order_by(HEADS.c.host)).all()
        return {host: _head(body) for host, body in rows}

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """What is known to be there is known no more, when it may not have come to be."""
        try:
            with self._database.transaction() as connection:
                yield connection
        except BaseException:
            self._rosters.clear()
            self._seen_ms.clear()
            raise

    def _roll(self, connection: Connection, grains: tuple[int, int], mark_ms: int, until_ms: int) -> None:
        fine, coarse = grains
        sums: dict[tuple[str, int], dict[Whose, Sample]] = defaultdict(dict)
        for row in _rows(connection, fine, (mark_ms, until_ms), None):
            ended_ms = -(-row.ended_ms // (coarse * 1000)) * coarse * 1000
            here = sums[row.host, ended_ms]
            for each in unpack(self._roster(connection, row.roster), row.body, row.host, ended_ms, frozenset()):
                begun_s = each.begun_s - (ended_ms - row.ended_ms) / 1000
                part = msgspec.structs.replace(each, begun_s=begun_s)
                whose = each.port_id, each.project_id, each.network_id
                here[whose] = _joined(here[whose], part) if whose in here else part
        for parts in sums.values():
            self._keep(connection, coarse, tuple(parts.values()))

    def _keep(self, connection: Connection, grain: int, samples: Sequence[Sample]) -> None:
        if not samples:
            return
        roster, whose, body = pack(samples)
        host, ended_ms = samples[0].host, round(samples[0].ended_s * 1000)
        connection.execute(_insert(connection, ROSTERS).values(id=roster, body=whose).on_conflict_do_nothing())
        whom = {name for each in samples for name in (each.port_id, each.project_id, each.network_id)}
        self._see(connection, host, whom, ended_ms)
        values = {"grain_s": grain, "host": host, "ended_ms": ended_ms, "roster": roster, "body": body}
        connection.execute(insert(SAMPLES).values(values))

    def _see(self, connection: Connection, host: str, subjects: set[str], now_ms: int) -> None:
        """Where somebody is, now and then."""
        news = [each for each in subjects if self._seen_ms.get((each, host), 0) < now_ms - _SEEN_EVERY_MS]
        if news:
            statement = _insert(connection, PRESENCE)
            later = statement.on_conflict_do_update(
                index_elements=["subject", "host"], set_={"seen_ms": statement.excluded.seen_ms}
            )
            rows = [{"subject": each, "host": host, "seen_ms": now_ms} for each in sorted(news)]
            connection.execute(later, rows)
            self._seen_ms |= {(each, host): now_ms for each in news}

    def _roster(self, connection: Connection, id_: bytes) -> list[Whose]:
        known = self._rosters.get(id_)
        if known is None:
            body = connection.execute(select(ROSTERS.c.body).where(ROSTERS.c.id == id_)).scalar_one()
            known = self._rosters[id_] = unpack_roster(body)
        return known


def _rows(connection: Connection, grain: int, between: tuple[int, int], hosts: Sequence[str] | None) -> Iterator[Any]:
    after = SAMPLES.c.grain_s == grain, SAMPLES.c.ended_ms > between[0], SAMPLES.c.ended_ms <= between[1]
    wanted = select(SAMPLES).where(*after)
    if hosts is not None:
        wanted = wanted.where(SAMPLES.c.host.in_(hosts))
    yield from connection.execute(wanted).all()


def _mark(connection: Connection, name: str, first_ms: int | None = None) -> int:
    """The mark, made as `first_ms` if there is none and one is wanted."""
    found = connection.execute(select(MARKS.c.at_ms).where(MARKS.c.name == name)).scalar()
    if found is not None:
        return int(found)
    if first_ms is None:
        return 0
    connection.execute(_insert(connection, MARKS).values(name=name, at_ms=first_ms).on_conflict_do_nothing())
    return first_ms


def _insert(connection: Connection, table: Any) -> Any:
    """That knows what to do about a conflict."""
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)


def _head(body: bytes) -> HostHead:
    return msgspec.msgpack.decode(zlib.decompress(body), type=HostHead)


def _joined(one: Sample, other: Sample) -> Sample:
    whose = one.port_id, one.project_id, one.network_id, one.host
    sums = added(figures(one), figures(other))
    return Sample(*whose, min(one.begun_s, other.begun_s), max(one.ended_s, other.ended_s), *sums)
