"""Collections inside of a resource (the rules of a QoS policy), as resources of their own once the parent is known."""

from collections.abc import Callable
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar

import msgspec

from suimon.model.actor import Actor
from suimon.resources.resource import Asked, Child, Resource, View
from suimon.store.tx import Tx

P = ParamSpec("P")
R = TypeVar("R")


def resource_below(child: Child, parent_id: str) -> Resource:
    """The child's acts with the parent's id filled in."""
    return Resource(
        spec=child.spec,
        get=_below(child.get, parent_id),
        list=_below(child.list, parent_id),
        create=_below(child.create, parent_id),
        update=_below(child.update, parent_id),
        delete=_below(child.delete, parent_id),
        views={
            path: View(partial(_ask, view, parent_id), view.status, view.writes) for path, view in child.views.items()
        },
    )


def _below(
    act: Callable[Concatenate[Tx, Actor, str, P], R] | None, parent_id: str
) -> Callable[Concatenate[Tx, Actor, P], R] | None:
    if act is None:
        return None

    def below(tx: Tx, actor: Actor, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return act(tx, actor, parent_id, *args, **kwargs)

    return below


def _ask(view: View, parent_id: str, tx: Tx, actor: Actor, asked: Asked) -> object:
    return view.act(tx, actor, msgspec.structs.replace(asked, ids=(parent_id, *asked.ids)))
