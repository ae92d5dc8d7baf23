"""Reading one kind of resource: who sees which, filters, order, pages, and what is shown besides the row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import BindParameter, ColumnElement, Select, Table, and_, bindparam, func, or_, select, true

from suimon.model.actor import Actor
from suimon.model.attributes import Shown, Spec, Target
from suimon.model.checks import invalid
from suimon.model.errors import BadRequest, NotFound, PreconditionFailed
from suimon.model.query import CHANGED_SINCE, TAG_FILTERS, Query
from suimon.model.things import Thing
from suimon.resources.persona import require, sees_all
from suimon.resources.tag_filters import by_tags
from suimon.store.columns import time_text
from suimon.store.tables import KEPT
from suimon.store.tx import Tx

T = TypeVar("T", bound=Thing)
VIEWER: BindParameter[str] = bindparam("viewer")
"""The project of who asks, in conditions of visibility."""


class Extra(msgspec.Struct, frozen=True):
    """What is shown of one more column of the select, so that it costs no statement.

    `read` makes field → value of the thing and the column's value. `of` names the fields of the thing that it looks at:
    in lists it is asked once for things that are alike in them, and gets the row, which has these fields only. None:
    all of them. `over` names the fields of the thing's own row that it may show otherwise.
    """

    column: ColumnElement[Any]
    read: Callable[[Any, Any], Mapping[str, object]]
    of: tuple[str, ...] | None = None
    over: tuple[str, ...] = ()


class Collection(msgspec.Struct, Generic[T], frozen=True, kw_only=True, dict=True):
    """How one kind is read. `visible` is the condition for those who aren't admins, over `VIEWER`.

    `not_found` is Neutron's type and words (with `{}` for the id). `special` turns the texts of a special filter into
    a condition. `attach` adds what can't be a column, in a constant number of statements, and looks at the fields
    `attach_of` only (None: at any), which are all that it gets in lists; `after_write` says what the
    extras of things just written are, where asking the database for them would cost a hot act a statement. By
    `open_filters` anybody may filter, also who doesn't see the attribute: where Neutron has it so. Without
    `strict_marker` a page after something that the actor can't see is the first one, as Neutron has it for some kinds.
    """

    spec: Spec
    type: type[T]
    not_found: tuple[str, str]
    visible: ColumnElement[bool]
    extras: tuple[Extra, ...] = ()
    special: Mapping[str, Callable[[list[str]], ColumnElement[bool]]] = {}
    attach: Callable[[Tx, Sequence[Any]], Mapping[str, Mapping[str, object]]] | None = None
    attach_of: tuple[str, ...] | None = None
    after_write: Callable[[Tx, Sequence[Any]], Sequence[Mapping[str, object]]] | None = None
    open_filters: frozenset[str] = frozenset()
    strict_marker: bool = True

    def get(self, tx: Tx, actor: Actor, id_: str) -> Shown:
        """Raises NotFound, also when this actor may not see it."""
        found = self._rows(tx, self._visible_one(self._all(actor)), {"id": id_, "viewer": actor.viewer})
        if not found:
            raise self.missing(id_)
        return found[0]

    def find(self, tx: Tx, actor: Actor, id_: str) -> T:
        """The same, without what is shown besides."""
        values = {"id": id_, "viewer": actor.viewer}
        found = tx.rows(self._visible_one(self._all(actor)), values)
        if not found:
            raise self.missing(id_)
        thing: T = KEPT[self.type].codec.decode(found[0])
        tx.know(thing)
        return thing

    def page(self, tx: Tx, actor: Actor, query: Query) -> list[Shown]:
        """Raises BadRequest for a filter's value of the wrong kind, NotFound for a marker that isn't there.

        What an actor may not see he may not ask by either: the answer would tell him. Raises Forbidden.
        """
        found = self._rows(tx, *self.asked(tx, actor, query, self._select))
        return found[::-1] if query.reverse else found

    def asked(
        self, tx: Tx, actor: Actor, query: Query, columns: Select[Any]
    ) -> tuple[Select[Any], Mapping[str, object]]:
        """The statement for a page of these columns, and its values; a page read backwards comes backwards."""
        self._require_seen(actor, [*(set(query.filters) - self.open_filters), *(name for name, _ in query.sort)])
        conditions = [true() if self._all(actor) else self.visible, *self._conditions(query.filters)]
        keys = [(self._sort_key(name), descending != query.reverse) for name, descending in query.sort]
        keys.append((self._table.c.id, query.reverse))
        values = {"viewer": actor.viewer}
        if query.marker is not None:
            found = self._marker(tx, query.marker, conditions[0], keys, values)
            conditions += [_behind(keys, found)] if found else []
        statement = columns.where(*conditions)
        statement = statement.order_by(*(key.desc() if descending else key for key, descending in keys))
        if query.limit is not None:
            statement = statement.limit(query.limit)
        return statement, values

    def shown(self, tx: Tx, things: Sequence[T]) -> list[Shown]:
        """Things just written, with what is shown besides, in their order."""
        if self.after_write:
            return list(map(Shown, things, self.after_write(tx, things)))
        values = {"ids": [thing.id for thing in things], "viewer": tx.viewer}
        statement = self._select.where(self._table.c.id.in_(bindparam("ids", expanding=True)))
        found = {shown.id: shown for shown in self._rows(tx, statement, values)}
        return [found[thing.id] for thing in things]

    def missing(self, id_: str) -> NotFound:
        """What to say when there is none of this id."""
        kind, words = self.not_found
        return NotFound(words.format(id_), kind)

    def _require_seen(self, actor: Actor, names: Sequence[str]) -> None:
        for name in names:
            rule = f"get_{self.spec.singular}:{name}"
            if rule in self.spec.rules:
                require(actor, rule, Target(actor.project_id))

    def _all(self, actor: Actor) -> bool:
        return sees_all(actor, self.spec.singular)

    @property
    def _table(self) -> Table:
        return KEPT[self.type].table

    @property
    def _select(self) -> Select[Any]:
        return select(*self._table.columns, *(extra.column.label(f"extra_{n}") for n, extra in enumerate(self.extras)))

    def _visible_one(self, everything: bool) -> Select[Any]:
        cache: dict[bool, Select[Any]] = self.__dict__.setdefault("statements", {})
        if everything not in cache:
            statement = self._select.where(self._table.c.id == bindparam("id"))
            cache[everything] = statement if everything else statement.where(self.visible)
        return cache[everything]

    def _rows(self, tx: Tx, statement: Select[Any], values: Mapping[str, object]) -> list[Shown]:
        codec = KEPT[self.type].codec
        width = len(codec.fields)
        rows = tx.rows(statement, values)
        things = [codec.decode(row[:width]) for row in rows]
        attached = self.attach(tx, things) if self.attach and things else {}
        found = []
        for thing, row in zip(things, rows, strict=True):
            tx.know(thing)
            extras = dict(attached.get(thing.id, {}))
            for n, extra in enumerate(self.extras):
                extras.update(extra.read(thing, row[width + n]))
            found.append(Shown(thing, extras))
        return found

    def _conditions(self, filters: Mapping[str, list[str]]) -> list[ColumnElement[bool]]:
        conditions = []
        for name, texts in filters.items():
            if name == CHANGED_SINCE:
                conditions.append(self._table.c.updated_at >= time_text(_moment(texts[0])))
                continue
            if name in TAG_FILTERS and self.spec.named("tags"):
                conditions.append(by_tags(self._table.c.tags, name, texts))
                continue
            if name in self.special:
                conditions.append(self.special[name](texts))
                continue
            attribute = self.spec.named(name)
            if attribute is None or attribute.filter is None:
                raise BadRequest(f"['{name}'] is invalid attribute for filtering")
            if attribute.field in self._table.c:
                conditions.append(self._table.c[attribute.field].in_([attribute.filter(text) for text in texts]))
            else:
                conditions.append(true() if str(attribute.default) in texts else ~true())
        return conditions

    def _sort_key(self, name: str) -> ColumnElement[Any]:
        """Names sort as people read them, and nothing is before everything: a comparison with NULL is never true."""
        attribute = self.spec.named(name)
        assert attribute is not None
        column = self._table.c[attribute.field]
        if column.type.python_type is str:
            return func.lower(func.coalesce(column, ""))
        return func.coalesce(column, -1) if column.nullable else column

    def _marker(
        self,
        tx: Tx,
        marker: str,
        visible: ColumnElement[bool],
        keys: Sequence[tuple[ColumnElement[Any], bool]],
        values: Mapping[str, object],
    ) -> Sequence[object]:
        statement = select(*(key for key, _ in keys)).where(self._table.c.id == bindparam("marker"), visible)
        found = tx.rows(statement, {**values, "marker": marker})
        if not found and self.strict_marker:
            raise self.missing(marker)
        return tuple(found[0]) if found else ()


def _behind(keys: Sequence[tuple[ColumnElement[Any], bool]], values: Sequence[object]) -> ColumnElement[bool]:
    """What comes after these values in the order of the keys."""
    alternatives = []
    for n, (key, descending) in enumerate(keys):
        equal = [other == value for (other, _), value in zip(keys[:n], values[:n], strict=True)]
        alternatives.append(and_(*equal, key < values[n] if descending else key > values[n]))
    return or_(*alternatives)


def _moment(text: str) -> datetime:
    """A time of ISO 8601, in UTC unless it says otherwise. Raises BadRequest in Neutron's words."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise invalid(f"The input {CHANGED_SINCE} must be in the following format: YYYY-MM-DDTHH:MM:SSZ") from None


def require_revision(thing: Thing, expected: int | None) -> None:
    """For If-Match. Raises PreconditionFailed."""
    if expected is not None and thing.revision_number != expected:
        raise PreconditionFailed(f"Constrained to {expected}, but current revision is {thing.revision_number}")
