"""The component that keeps what facts were: in one controller, beside what is done by others, never in their calls."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from typing import Final, NamedTuple

import msgspec
import structlog

from suimon.enforcement.reading import all_shared, read, shared
from suimon.enforcement.scope import FACT_TYPES, Key, keyed
from suimon.enforcement.table_history import TableHistory
from suimon.model.fact_history import FactsNow
from suimon.model.fact_tables import KIND
from suimon.policy.facts import SOURCES, TENANTS_TYPES, rows_of
from suimon.resources.fact_history import forget_facts, newest_moment, note_facts, note_moments, open_ids
from suimon.store.leases import Turn, in_turn
from suimon.store.patience import Patient
from suimon.store.store import Store
from suimon.store.tx import Tx

BEGUN: Final = "the history begins here"
AWAY: Final = "nobody recorded: what changed more than once is known only as it was last"
TOO_LATE: Final = "the log didn't reach back: what changed is known only as it is here"
OTHERWISE: Final = "another release's tables had other columns: what they held isn't compared with these"
SHAPE: Final = sha256(msgspec.json.encode(SOURCES)).hexdigest()[:12]
"""Of all columns: rows of another shape can't be told from changes."""
_MOST_READ: Final = 10_000
"""Things in one statement, which has a parameter for each."""
log = structlog.get_logger()


class FactHistoryConfig(msgspec.Struct, frozen=True):
    """How long what facts were is kept: days, and versions that are over, whichever is less."""

    keep_days: float = 14.0
    most_versions: int = 1_000_000
    forget_every_s: float = 3600.0
    gather_s: float = 1.0
    """Changes that come so soon after each other are looked at together."""
    part: int = 500
    """Things written in one transaction, so that nobody waits long for the writer."""
    pause_s: float = 1.0
    """After the database was away."""
    most_table_rows: int = 40_000
    """That change in a day, of all tables from elsewhere."""
    again_s: float = 60.0
    """Until a table that changed too much is looked at again."""


class _Seen(NamedTuple):
    """What things are by now, and up to which revision the log was read."""

    facts: list[FactsNow]
    revision: int


class FactHistory:
    """Follows the log from the last moment that is written down; `turn` lets one of several controllers do it."""

    def __init__(self, config: FactHistoryConfig, store: Store, turn: Turn | None = None) -> None:
        self._config = config
        self._store = store
        self._patient = Patient(store, "fact_history", config.pause_s)
        self._turn = turn
        self._revision: int | None = None
        self._tables: TableHistory | None = None

    async def run(self) -> None:
        """Until cancelled."""
        await in_turn(self._turn, self._record)

    async def round(self) -> None:
        """Write down what changed since the last one; whoever begins goes on where the last one's moments end."""
        begins, after = self._revision is None, self._revision
        seen, gap = None, TOO_LATE
        if self._tables is None or begins:
            most = self._config.most_table_rows
            self._tables = await self._patient.read(lambda tx: TableHistory(tx, most))
        tables = self._tables
        if begins:
            last = await self._patient.read(newest_moment)
            after = last.revision if last else None
            gap = BEGUN if last is None else OTHERWISE if last.shape != SHAPE else gap
        if after is not None and gap != OTHERWISE:
            seen = await self._patient.read(lambda tx: _changed(tx, after, tables))
        if seen is None:
            log.info("facts_compared", known=after, reason=gap)
            seen = await self._patient.read(lambda tx: _all(tx, tables))
        else:
            gap = AWAY if begins and seen.facts else ""
        requests: dict[int, str] = {}
        rest, size = seen.facts, self._config.part
        while len(rest) > size:
            part, rest = rest[:size], rest[size:]
            requests |= await self._patient.write(lambda tx, part=part: note_facts(tx, part))  # type: ignore[misc]
        missed = (seen.revision, gap) if gap else None
        if rest or missed:
            await self._patient.write(lambda tx: _note_last(tx, rest, requests, missed))
        self._revision = seen.revision

    async def _record(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._tidy())

    async def _follow(self) -> None:
        self._revision = None
        with self._store.subscribe() as changed:
            while True:
                changed.clear()
                await self.round()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._config.again_s if self._tables and self._tables.waiting else None):
                        await changed.wait()
                await asyncio.sleep(self._config.gather_s)

    async def _tidy(self) -> None:
        while True:
            await self.forget()
            await asyncio.sleep(self._config.forget_every_s)

    async def forget(self) -> None:
        """What is older than is kept."""
        days, most = timedelta(days=self._config.keep_days), self._config.most_versions
        await self._patient.write(lambda tx: forget_facts(tx, tx.now - days, most))


def _note_last(tx: Tx, facts: Sequence[FactsNow], requests: Mapping[int, str], missed: tuple[int, str] | None) -> None:
    """The last part, and the moments of all: whoever goes on after us begins at the newest one."""
    requests = {**requests, **note_facts(tx, facts)}
    if requests or missed:
        note_moments(tx, requests, SHAPE, missed)


def _changed(tx: Tx, after: int, tables: TableHistory) -> _Seen | None:
    """What the log tells of, each thing at the revision that changed it last; None: it doesn't reach back."""
    changes = tx.changes_after(after)
    if changes is None:
        return None
    last = {(one.kind, one.id): one for one in changes if not one.scope and one.kind in FACT_TYPES}
    found, keys = [], sorted(last, key=lambda key: last[key].revision)
    for start in range(0, len(keys), _MOST_READ):
        part = keys[start : start + _MOST_READ]
        things, public = read(tx, part), shared(tx, part)
        for key in part:
            now = _now(key, things[key], public)
            found.append(now._replace(revision=last[key].revision, request_id=last[key].request_id))
    revision = changes[-1].revision if changes else after
    causes = {one.id: (one.revision, one.request_id) for one in changes if one.kind == KIND}
    found += tables.changed(tx, causes, revision)
    return _Seen(sorted(found, key=lambda one: one.revision), revision)


def _all(tx: Tx, tables: TableHistory) -> _Seen:
    """All that there is, and what is known though it is no more, at the transaction's own revision."""
    revision, public = tx.position()[2], all_shared(tx)
    found = [one._replace(revision=revision) for one in _everything(tx, public)]
    return _Seen([*found, *tables.all(tx, revision)], revision)


def _everything(tx: Tx, public: frozenset[str]) -> Iterator[FactsNow]:
    for kind, type_ in FACT_TYPES.items():
        things = keyed(tx.select(type_))
        gone: Sequence[Key] = [(kind, id_) for id_ in open_ids(tx, kind) if (kind, id_) not in things]
        for key, thing in {**things, **dict.fromkeys(gone)}.items():
            yield _now(key, thing, public)


def _now(key: Key, thing: msgspec.Struct | None, public: frozenset[str]) -> FactsNow:
    facts = rows_of(thing, shared=key[1] in public) if thing is not None else ()
    owner = str(getattr(thing, "project_id", "")) if type(thing) in TENANTS_TYPES else ""
    return FactsNow(*key, owner, msgspec.json.encode(facts).decode() if facts else "", 0)
