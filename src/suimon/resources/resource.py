"""What a kind of resource can do, in the words that the API serves it by: `Resource`, `Child`, `View`.

They are values: `registry.RESOURCES` says which there are, and how each shape is registered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec

from suimon.model.actor import Actor
from suimon.model.attributes import Shown, Spec
from suimon.model.query import Query, cut
from suimon.model.things import Thing
from suimon.resources.collection import Collection
from suimon.resources.listing import Listed, listed
from suimon.store.tx import Tx

T = TypeVar("T", bound=Thing)
Wanted = Mapping[str, Any]
"""Field → checked value, as `Spec.for_create` and `for_update` make them."""
Create = Callable[[Tx, Actor, Wanted], Shown]
CreateMany = Callable[[Tx, Actor, Sequence[Wanted]], list[Shown]]
Update = Callable[[Tx, Actor, str, Wanted, int | None], Shown]
Delete = Callable[[Tx, Actor, str, int | None], None]
Action = Callable[[Tx, Actor, str, object], dict[str, object]]
"""(transaction, actor, id, the request's body as it came) → the answer's body, wrapped or bare as Neutron has it."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request to a view. `ids` are the segments of the path where the pattern has `{}` (below a child the parent's
    id first), `body` is as it came, `expected` the revision of If-Match.
    """

    ids: tuple[str, ...]
    body: object = None
    query: tuple[tuple[str, str], ...] = ()
    expected: int | None = None


class View(msgspec.Struct, frozen=True):
    """What one method does at one path that isn't a collection's own: `act` makes the answer's body, and `status` 204
    has none.

    A GET is for `Store.read`, anything else for `Store.write`, unless `writes` says otherwise.
    """

    act: Callable[[Tx, Actor, Asked], object]
    status: int = 200
    writes: bool | None = None


Views = Mapping[str, View]
"""`METHOD pattern` → view. The pattern is what is behind the collection's path, `{}` for an id: `PUT {}/tags/{}`."""


class Child(msgspec.Struct, frozen=True, kw_only=True):
    """A collection inside of each resource; the first text is the parent's id, the second what the child is known by
    below it: its id, or for a port's bindings the host.

    `few_below` makes `list` of an act that gives all of the parent's. The last argument of `update` and `delete` is
    the revision of If-Match.
    """

    spec: Spec
    get: Callable[[Tx, Actor, str, str], Shown] | None = None
    list: Callable[[Tx, Actor, str, Query], Sequence[Shown]] | None = None
    create: Callable[[Tx, Actor, str, Wanted], Shown] | None = None
    update: Callable[[Tx, Actor, str, str, Wanted, int | None], Shown] | None = None
    delete: Callable[[Tx, Actor, str, str, int | None], None] | None = None
    views: Views = {}


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """One kind: reading is for `Store.read` (`get` is one or two statements: `one_statement=True`), acts for
    `Store.write`.

    What comes out is for `spec.render(shown, actor, fields)`; `listed` is `list` with that done. An act that is None
    doesn't exist (405). `views` come before everything else at their paths. `prepare` is an act that makes what has to
    be there when somebody lists: a project's default security group. It is to be written when `unprepared`, a read,
    says so.
    """

    spec: Spec
    get: Callable[[Tx, Actor, str], Shown] | None = None
    list: Callable[[Tx, Actor, Query], Sequence[Shown]] | None = None
    listed: Callable[[Tx, Actor, Query], Listed] | None = None
    create: Create | None = None
    create_many: CreateMany | None = None
    update: Update | None = None
    delete: Delete | None = None
    actions: Mapping[str, Action] = {}
    children: Mapping[str, Child] = {}
    views: Views = {}
    unprepared: Callable[[Tx, Actor, Query], bool] | None = None
    prepare: Callable[[Tx, Actor, Query], None] | None = None


def resource(
    collection: Collection[T],
    create: Callable[[Tx, Actor, Sequence[Wanted]], Sequence[T]] | None = None,
    update: Callable[[Tx, Actor, str, Wanted, int | None], T] | None = None,
    delete: Delete | None = None,
    **more: Any,
) -> Resource:
    """A kind that is kept in a table of its own. `create` makes many at once; an act that is None doesn't exist.

    Quotas hold for what is created.
    """
    many = _create_many(collection, create) if create else None
    return Resource(
        spec=collection.spec,
        get=collection.get,
        list=collection.page,
        listed=partial(listed, collection),
        create=_first(many) if many else None,
        create_many=many,
        update=_update(collection, update) if update else None,
        delete=delete,
        **more,
    )


def few(spec: Spec, act: Callable[[Tx, Actor], Sequence[Shown]]) -> Callable[[Tx, Actor, Query], Sequence[Shown]]:
    """A list act from one that gives everything that the actor sees."""
    return lambda tx, actor, query: cut(spec, act(tx, actor), query)


def few_below(
    spec: Spec, act: Callable[[Tx, Actor, str], Sequence[Shown]]
) -> Callable[[Tx, Actor, str, Query], Sequence[Shown]]:
    """The same for a child: all of the parent's."""
    return lambda tx, actor, parent, query: cut(spec, act(tx, actor, parent), query)


def _create_many(collection: Collection[T], act: Callable[[Tx, Actor, Sequence[Wanted]], Sequence[T]]) -> CreateMany:
    def create_many(tx: Tx, actor: Actor, wanted: Sequence[Wanted]) -> list[Shown]:
        tx.limit(collection.type, Counter(one["project_id"] for one in wanted if "project_id" in one))
        return collection.shown(tx, act(tx, actor, wanted))

    return create_many


def _first(many: CreateMany) -> Create:
    return lambda tx, actor, wanted: many(tx, actor, [wanted])[0]


def _update(collection: Collection[T], act: Callable[[Tx, Actor, str, Wanted, int | None], T]) -> Update:
    return lambda tx, actor, id_, wanted, expected: collection.shown(tx, [act(tx, actor, id_, wanted, expected)])[0]
