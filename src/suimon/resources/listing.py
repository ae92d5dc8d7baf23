"""Lists as they go out: from columns to what JSON is made of, without a thing for each row.

The statement reads only what is asked for and may be seen. What a column keeps is turned into what is shown once for
each different value: most of a cloud's ports say the same of most things. `Spec.render` gives the same of one thing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import repeat, starmap
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Select, select

from suimon.model.actor import Actor
from suimon.model.attributes import Attribute, Target, as_it_is, when
from suimon.model.query import Query
from suimon.model.things import Thing
from suimon.resources.collection import Collection
from suimon.store.tables import KEPT
from suimon.store.tx import Tx

T = TypeVar("T", bound=Thing)
Column = Iterable[object]
Read = Callable[[Any], Any] | None
_OLD_NAME: Final = "tenant_id"
_PROJECT: Final = "project_id"
_MOST_PLANS: Final = 100
"""Remembered of one kind: there are more ways to ask for some of its attributes than anybody needs."""
_MANY: Final = 100
"""From so many rows on making a struct for them pays."""


class Listed(NamedTuple):
    """A page in the API's words, each item for msgspec to encode, and the things' ids beside it."""

    items: Sequence[object]
    ids: Sequence[str]


class _Plan(NamedTuple):
    """How the rows of one kind are read for some attributes."""

    select: Select[Any]
    fields: Mapping[str, Read]
    """The row's columns in order, and what decodes each."""
    own: tuple[Attribute, ...]
    """The attributes that are columns of the row."""
    besides: tuple[Attribute, ...]
    """Those that come from extras, or have always the same value."""
    extras: bool
    looked_at: tuple[str, ...]
    """The fields that extras are made of."""


class _Table:
    """A page's rows by columns. What is decoded is decoded once."""

    def __init__(self, plan: _Plan, rows: Sequence[Sequence[Any]]) -> None:
        columns = list(zip(*rows, strict=True))
        self.plan = plan
        self.count = len(rows)
        self.kept = dict(zip(plan.fields, columns, strict=False))
        self.extras = columns[len(plan.fields) :]
        self._decoded: dict[str, Sequence[Any]] = {}

    def decoded(self, field: str) -> Sequence[Any]:
        """A column's values as a thing has them."""
        read = self.plan.fields[field]
        if field not in self._decoded:
            self._decoded[field] = self.kept[field] if read is None else _each(read, self.kept[field])
        return self._decoded[field]

    def things(self) -> Sequence[Any]:
        """What has those fields of the things that the rows are that somebody looks at."""
        columns = (self.decoded(field) for field in self.plan.looked_at)
        return list(starmap(_struct(self.plan.looked_at), zip(*columns, strict=True)))


def listed(collection: Collection[T], tx: Tx, actor: Actor, query: Query) -> Listed:
    """A page. Raises what `Collection.page` raises."""
    names = tuple(attribute.name for attribute in collection.spec.attributes if attribute.shown)
    asked = tuple(name for name in names if not query.fields or name in query.fields)
    plan = _plan(collection, asked)
    rows = tx.rows(*collection.asked(tx, actor, query, plan.select))
    if query.reverse:
        rows = rows[::-1]
    if not rows:
        return Listed((), ())
    table = _Table(plan, rows)
    shown = dict(_shown(collection, tx, table))
    projects = table.kept[_PROJECT]
    project = collection.spec.named(_PROJECT)
    if (not query.fields or _OLD_NAME in query.fields) and project is not None and project.shown:
        shown[_OLD_NAME] = projects
    return Listed(_items(shown, _hidden(collection, actor, shown, projects), projects), table.kept["id"])


def _plan(collection: Collection[T], names: tuple[str, ...]) -> _Plan:
    plans: dict[tuple[str, ...], _Plan] = collection.__dict__.setdefault("plans", {})
    if names not in plans:
        if len(plans) >= _MOST_PLANS:
            plans.clear()
        plans[names] = _made_plan(collection, names)
    return plans[names]


def _made_plan(collection: Collection[T], names: tuple[str, ...]) -> _Plan:
    kept = KEPT[collection.type]
    wanted = [attribute for attribute in collection.spec.attributes if attribute.name in names]
    over = {field for extra in collection.extras for field in extra.over}
    outside = [one for one in wanted if one.field not in kept.table.c]
    extras = bool(collection.extras or collection.attach) and any(
        not one.field.startswith("constant ") for one in (*outside, *(one for one in wanted if one.field in over))
    )
    read = {one.field for one in wanted if one.field in kept.table.c} | {"id", _PROJECT}
    looked_at = _looked_at(collection) if extras else set()
    fields = [field for field in kept.codec.fields if field in read | looked_at]
    columns: list[ColumnElement[Any]] = [kept.table.c[field] for field in fields]
    if extras:
        columns += [extra.column.label(f"extra_{n}") for n, extra in enumerate(collection.extras)]
    return _Plan(
        select(*columns),
        {field: kept.codec.reader(field) for field in fields},
        tuple(one for one in wanted if one.field in kept.table.c),
        tuple(outside),
        extras,
        tuple(field for field in fields if field in looked_at),
    )


def _looked_at(collection: Collection[T]) -> set[str]:
    fields = KEPT[collection.type].codec.fields
    of = [extra.of for extra in collection.extras] + ([collection.attach_of] if collection.attach else [])
    return {"id"}.union(*(fields if one is None else one for one in of))


def _shown(collection: Collection[T], tx: Tx, table: _Table) -> Iterable[tuple[str, Column]]:
    """The API's columns by name."""
    sources = list(_besides(collection, tx, table)) if table.plan.extras else []
    over = {field for extra in collection.extras for field in extra.over}
    for attribute in table.plan.own:
        own = _converted(attribute, table)
        yield attribute.name, _overlaid(attribute, own, sources if attribute.field in over else ())
    for attribute in table.plan.besides:
        usual = repeat(attribute.show(attribute.default), table.count)
        yield attribute.name, _overlaid(attribute, usual, sources)


def _overlaid(attribute: Attribute, column: Column, sources: Iterable[_Source]) -> Column:
    for source in sources:
        if attribute.field in source.fields:
            column = source.over(attribute, column)
    return column


class _Source(NamedTuple):
    """What one extra says of each row: few different answers, shared by many rows."""

    answers: Sequence[Mapping[str, object]]
    fields: frozenset[str]

    def over(self, attribute: Attribute, column: Column) -> Column:
        """The column with what is answered instead, where it is."""
        field, show = attribute.field, attribute.show
        if show is as_it_is:
            return [one.get(field, value) for one, value in zip(self.answers, column, strict=True)]
        return [show(one[field]) if field in one else value for one, value in zip(self.answers, column, strict=True)]


def _besides(collection: Collection[T], tx: Tx, table: _Table) -> Iterable[_Source]:
    """What is shown besides the rows' own columns."""
    things = table.things()
    if collection.attach:
        attached = collection.attach(tx, things)
        yield _source([attached.get(id_, {}) for id_ in table.kept["id"]], attached.values())
    for extra, values in zip(collection.extras, table.extras, strict=True):
        of = table.plan.fields if extra.of is None else extra.of
        keys = list(zip(values, *(table.kept[field] for field in of), strict=True))
        known = {key: extra.read(thing, key[0]) for key, thing in dict(zip(keys, things, strict=True)).items()}
        yield _source([known[key] for key in keys], known.values())


def _source(answers: Sequence[Mapping[str, object]], different: Iterable[Mapping[str, object]]) -> _Source:
    return _Source(answers, frozenset().union(*different))


def _converted(attribute: Attribute, table: _Table) -> Sequence[object]:
    """What is shown of a column's values."""
    kept, show = table.kept[attribute.field], attribute.show
    read = table.plan.fields[attribute.field]
    if show is when:
        return [text[:19] + "Z" for text in kept]
    if read is not None and show in (as_it_is, list):
        return _each(lambda text: msgspec.Raw(text.encode()), kept)  # It is kept as the JSON that it is shown as.
    if show is as_it_is:
        return kept
    different = dict(zip(kept, table.decoded(attribute.field), strict=True))
    known = {value: show(decoded) for value, decoded in different.items()}
    return [known[value] for value in kept]


def _each(convert: Callable[[Any], object], kept: Sequence[Any]) -> Sequence[object]:
    """Each value but None converted: once for each different one, of which there are few."""
    known = {value: None if value is None else convert(value) for value in set(kept)}
    return [known[value] for value in kept]


def _hidden(
    collection: Collection[T], actor: Actor, shown: Iterable[str], projects: Iterable[str]
) -> dict[str, set[str]]:
    """By project, the names of what this actor may not see of its things."""
    spec = collection.spec
    rules = {name: rule for name in shown if (rule := spec.rules.get(f"get_{spec.singular}:{name}"))}
    return {
        project: {name for name, rule in rules.items() if not rule(actor, Target(project))} for project in set(projects)
    }


def _items(shown: Mapping[str, Column], hidden: Mapping[str, set[str]], projects: Sequence[str]) -> Sequence[object]:
    """The rows of these columns, each without what is hidden of its project."""
    always = set.intersection(*hidden.values())
    columns = {name: column for name, column in shown.items() if name not in always}
    if not columns:
        return [{} for _ in projects]
    rows = zip(*columns.values(), strict=True)
    if len(projects) >= _MANY and not any(names - always for names in hidden.values()):
        return list(starmap(_struct(tuple(columns)), rows))
    return [
        {name: value for name, value in zip(columns, row, strict=True) if name not in hidden[project]}
        for row, project in zip(rows, projects, strict=True)
    ]


@lru_cache(maxsize=256)
def _struct(names: tuple[str, ...]) -> type[msgspec.Struct]:
    """A struct that is encoded with these keys, which costs half of what a mapping costs."""
    fields = {name if name.isidentifier() else f"field{n}": name for n, name in enumerate(names)}
    return msgspec.defstruct("Row", [(field, Any) for field in fields], rename=fields, gc=False)
