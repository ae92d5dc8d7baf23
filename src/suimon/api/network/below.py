"""Collections inside of a resource (the rules of a QoS policy), as resources of their own once the parent is known."""

from collections.abc import Mapping, Sequence
from typing import Any

from suimon.model.actor import Actor
from suimon.model.attributes import Shown
from suimon.model.query import Query
from suimon.resources.registry import Child, Resource
from suimon.store.tx import Tx

Wanted = Mapping[str, Any]


def resource_below(child: Child, parent_id: str) -> Resource:
    """The child's acts with the parent's id filled in. A child has no revision of its own to match."""

    def page(tx: Tx, actor: Actor, query: Query) -> Sequence[Shown]:
        return [shown for shown in child.list(tx, actor, parent_id) if _matches(child, shown, query)]

    def update(tx: Tx, actor: Actor, id_: str, wanted: Wanted, _expected: int | None) -> Shown:
        return child.update(tx, actor, parent_id, id_, wanted)

    return Resource(
        spec=child.spec,
        get=lambda tx, actor, id_: child.get(tx, actor, parent_id, id_),
        list=page,
        create=lambda tx, actor, wanted: child.create(tx, actor, parent_id, wanted),
        update=update,
        delete=lambda tx, actor, id_, _expected: child.delete(tx, actor, parent_id, id_),
    )


def _matches(child: Child, shown: Shown, query: Query) -> bool:
    """A parent has few children: they are filtered here, and never cut into pages."""
    for name, texts in query.filters.items():
        attribute = child.spec.named(name)
        if attribute and attribute.filter:
            wanted = [attribute.filter(text) for text in texts]
            if getattr(shown.thing, attribute.field) not in wanted:
                return False
    return True
