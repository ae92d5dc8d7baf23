"""One transaction, as acts see it: structs in and out, and a note of everything touched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from sqlalchemy import (
    Connection,
    Delete,
    Executable,
    Insert,
    Select,
    Table,
    Update,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError

from suimon.model.actor import Actor
from suimon.model.errors import Conflict
from suimon.model.settings import Settings
from suimon.model.specs.quotas import COUNTED, DEFAULTS, UNLIMITED
from suimon.model.things import Thing
from suimon.model.touches import touches
from suimon.store import changes, prepared, usage
from suimon.store.changes import Change
from suimon.store.dialect import caller_error
from suimon.store.errors import Stale
from suimon.store.tables import CHANGES, KEPT, META

T = TypeVar("T", bound=msgspec.Struct)
ThingT = TypeVar("ThingT", bound=Thing)
Where = Mapping[str, object]
"""Column → a value, None, or a collection of values to be one of."""

_PARAMETERS_A_STATEMENT = 30_000
"""SQLite takes 32,766 and PostgreSQL 65,535."""
_POSITION = select(META.c.store, META.c.epoch, select(func.coalesce(func.max(CHANGES.c.revision), 0)).scalar_subquery())


class Context(msgspec.Struct, frozen=True):
    """What a transaction is given from outside: when it is, for whom it is, and what the installation is like."""

    now: datetime
    actor: Actor
    settings: Settings


class Tx:
    """Reads and writes structs. What it wrote it remembers, and what was read by id: a transaction sees one state.

    `revision` is the log's revision of this transaction once it is committed; 0 when it touched nothing.
    """

    def __init__(self, connection: Connection, context: Context) -> None:
        self._connection = connection
        self._context = context
        self._known: dict[tuple[type[msgspec.Struct], str], msgspec.Struct | None] = {}
        self._touched: set[changes.Touch] = set()
        self._differences: Counter[tuple[str, str]] = Counter()
        self._limited: dict[str, Mapping[str, int]] = {}
        self.revision = 0

    @property
    def now(self) -> datetime:
        """The time of everything in this transaction, in UTC."""
        return self._context.now

    @property
    def settings(self) -> Settings:
        """What the installation is like."""
        return self._context.settings

    @property
    def quiet(self) -> bool:
        """Whether no host is told of what was written: no scope was touched, and no host itself (`model.touches`)."""
        return not any(scope or kind == "host" for kind, _, scope in self._touched)

    @property
    def touched(self) -> Collection[changes.Touch]:
        """What it will have logged, so far."""
        return self._touched

    @property
    def actor(self) -> Actor:
        """Who does it."""
        return self._context.actor

    @property
    def viewer(self) -> str:
        """Whose view what is written is shown in."""
        return self._context.actor.viewer

    def position(self) -> tuple[str, int, int]:
        """(store id, epoch, revision of the last committed change)."""
        store, epoch, revision = self.rows(_POSITION, {})[0]
        return store, epoch, revision

    def changes_after(self, revision: int) -> list[Change] | None:
        """What was logged after `revision`; None when the log doesn't reach back that far, or never came that far."""
        return changes.after(self._connection, revision)

    # Reading

    def get(self, type_: type[T], id_: str) -> T | None:
        """The thing of this type with this id (a host: its name)."""
        known = (type_, id_)
        if known not in self._known:
            kept = KEPT[type_]
            found = self.rows(_select(type_, ((kept.key[0], "="),)), {kept.key[0]: id_})
            self._known[known] = kept.codec.decode(found[0]) if found else None
        thing = self._known[known]
        assert thing is None or isinstance(thing, type_)
        return thing

    def select(
        self, type_: type[T], where: Where | None = None, *, order: Sequence[str] = (), limit: int | None = None
    ) -> list[T]:
        """All things whose columns are as `where` says; `order` names columns, `-` in front for descending."""
        kept = KEPT[type_]
        shape, values = [], {}
        for column, value in (where or {}).items():
            match value:
                case None:
                    shape.append((column, "null"))
                case str() | int() | datetime():
                    shape.append((column, "="))
                    values[column] = kept.codec.encode_value(column, value)
                case Collection():
                    shape.append((column, "in"))
                    values[column] = [kept.codec.encode_value(column, item) for item in value]
                case _:
                    raise TypeError(f"can't compare {column} with {value!r}")
        if limit is not None:
            values["limit_"] = limit
        statement = _select(type_, tuple(shape), tuple(order), limit is not None)
        return [kept.codec.decode(row) for row in self.rows(statement, values)]

    def rows(self, statement: Executable, values: Mapping[str, object]) -> Sequence[Sequence[Any]]:
        """The rows of any statement of the caller's own. Made once, with bindparam, it is compiled once."""
        try:
            return prepared.rows(self._connection, statement, values)
        except DBAPIError as error:
            raise caller_error(error) from error

    def run(self, statement: Executable, values: Mapping[str, object]) -> int:
        """Any statement that gives no rows; how many rows it changed."""
        try:
            return prepared.count(self._connection, statement, values)
        except DBAPIError as error:
            raise caller_error(error) from error

    def know(self, thing: msgspec.Struct) -> None:
        """Remember a thing that came out of a statement of the caller's own, so that `get` needs none for it."""
        self._known[type(thing), self._id(thing)] = thing

    # Writing

    def insert(self, thing: msgspec.Struct) -> None:
        """Raises Taken when a constraint refuses it."""
        kept = KEPT[type(thing)]
        self.run(_insert(kept.table), kept.codec.encode(thing))
        self._note(None, thing)

    def insert_many(self, things: Sequence[msgspec.Struct]) -> None:
        """All of one type, in as few statements as the database takes."""
        if len(things) == 1:
            self.insert(things[0])
        elif things:
            kept = KEPT[type(things[0])]
            self.insert_rows(kept.table, [kept.codec.encode(thing) for thing in things])
            for thing in things:
                self._note(None, thing)

    def insert_rows(self, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
        """Rows of an index table, with all their columns; nothing is touched by it."""
        names = tuple(table.columns.keys())
        size = _PARAMETERS_A_STATEMENT // len(names)
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            try:
                prepared.insert(self._connection, table.name, names, part)
            except DBAPIError as error:
                raise caller_error(error) from error

    def update(self, before: T, after: T) -> None:
        """Write the columns that differ. Raises Stale when the row is no longer what `before` says."""
        kept = KEPT[type(before)]
        old, new = kept.codec.encode(before), kept.codec.encode(after)
        changed = tuple(name for name in kept.codec.fields if old[name] != new[name])
        if changed:
            checked = (*kept.key, "revision_number") if isinstance(before, Thing) else kept.key
            values = {f"old_{name}": old[name] for name in checked} | {f"new_{name}": new[name] for name in changed}
            if self.run(_update(kept.table, checked, changed), values) != 1:
                raise Stale
        self._note(before, after)

    def change(self, thing: ThingT, /, **fields: object) -> ThingT:
        """`update` with these fields set, the resource's revision number raised and its time of change set."""
        after = msgspec.structs.replace(thing, **fields, revision_number=thing.revision_number + 1, updated_at=self.now)
        self.update(thing, after)
        return after

    def delete(self, thing: msgspec.Struct) -> None:
        """Raises Stale when it is gone already, Taken when something refers to it."""
        kept = KEPT[type(thing)]
        if self.run(_delete(kept.table, kept.key), {name: getattr(thing, name) for name in kept.key}) != 1:
            raise Stale
        self._note(thing, None)

    def delete_many(self, things: Sequence[msgspec.Struct]) -> None:
        """All of one type, in as few statements as the database takes. Raises Stale, Taken."""
        for start in range(0, len(things), _PARAMETERS_A_STATEMENT):
            part = things[start : start + _PARAMETERS_A_STATEMENT]
            kept = KEPT[type(part[0])]
            ids = [self._id(thing) for thing in part]
            if self.run(_delete_all(kept.table, kept.key[0]), {"ids": ids}) != len(ids):
                raise Stale
            for thing in part:
                self._note(thing, None)

    def touch(self, kind: str, id_: str, scope: str) -> None:
        """Whoever holds `scope` has to look again at (kind, id)."""
        self._touched.add((kind, id_, scope))

    def limit(self, type_: type[msgspec.Struct], asked: Mapping[str, int] | None = None) -> None:
        """Somebody asks for more of this: the quotas hold for it. `asked` is how many by project; what a project gets
        besides, by itself (its default group), isn't refused. Without a word of a project all that it gets is asked.
        """
        if type_ in COUNTED:
            self._limited[COUNTED[type_]] = asked or {}

    def write_log(self) -> None:
        """For the store, right before the commit: count what came and went, give what was touched a revision.

        Raises Conflict when a project has more than its quota of what it asked for.
        """
        self._count()
        if self._touched:
            self.revision = changes.append(self._connection, self._touched, self._context.actor.request_id)

    def _note(self, before: msgspec.Struct | None, after: msgspec.Struct | None) -> None:
        thing = after if after is not None else before
        assert thing is not None
        self._known[type(thing), self._id(thing)] = after
        self._touched.update(touches(before, after))
        if type(thing) in COUNTED:
            for one, step in ((before, -1), (after, 1)):
                if isinstance(one, Thing) and one.project_id:
                    self._differences[one.project_id, COUNTED[type(one)]] += step

    def _count(self) -> None:
        differences = {key: step for key, step in self._differences.items() if step}
        if not differences:
            return
        over = set()
        for used in usage.add(self._connection, differences):
            most = used.most
            if most is None:
                most = self.settings.quotas.get(used.resource, DEFAULTS[used.resource])
            got = differences[used.project_id, used.resource]
            asked = self._limited[used.resource].get(used.project_id, got) if used.resource in self._limited else 0
            if got > 0 and UNLIMITED < most < used.used - got + min(asked, got) and asked:
                over.add(used.resource)
        if over:
            raise Conflict(f"Quota exceeded for resources: {sorted(over)}.", "OverQuota")

    def _id(self, thing: msgspec.Struct) -> str:
        return str(getattr(thing, KEPT[type(thing)].key[0]))


# Statements are made once for each shape: making one costs more than executing it.


@lru_cache(maxsize=1024)
def _select(
    type_: type[msgspec.Struct], shape: tuple[tuple[str, str], ...], order: tuple[str, ...] = (), limited: bool = False
) -> Select[Any]:
    table = KEPT[type_].table
    statement = select(*table.columns)
    for name, how in shape:
        column = table.c[name]
        if how == "null":
            statement = statement.where(column.is_(None))
        elif how == "in":
            statement = statement.where(column.in_(bindparam(name, expanding=True)))
        else:
            statement = statement.where(column == bindparam(name))
    for name in order:
        column = table.c[name.removeprefix("-")]
        statement = statement.order_by(column.desc() if name.startswith("-") else column)
    return statement.limit(bindparam("limit_")) if limited else statement


@lru_cache(maxsize=256)
def _insert(table: Table) -> Insert:
    return insert(table)


@lru_cache(maxsize=1024)
def _update(table: Table, checked: tuple[str, ...], changed: tuple[str, ...]) -> Update:
    statement = update(table).values({name: bindparam(f"new_{name}") for name in changed})
    return statement.where(*(table.c[name] == bindparam(f"old_{name}") for name in checked))


@lru_cache(maxsize=256)
def _delete_all(table: Table, key: str) -> Delete:
    return delete(table).where(table.c[key].in_(bindparam("ids", expanding=True)))


@lru_cache(maxsize=256)
def _delete(table: Table, key: tuple[str, ...]) -> Delete:
    return delete(table).where(*(table.c[name] == bindparam(name) for name in key))
