"""Tags of a thing, below it in the API: `/ID/tags` and `/ID/tags/TAG`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final, NamedTuple

import msgspec

from suimon.model import checks
from suimon.model.actor import Actor
from suimon.model.attributes import Shown, Spec, Target
from suimon.model.checks import Unfit
from suimon.model.errors import NotFound
from suimon.model.specs.tags import OPERATORS, require_few, tag_list
from suimon.model.things import Network, Thing
from suimon.resources.collection import require_revision
from suimon.resources.persona import permits, require
from suimon.resources.resource import Asked, Resource, View, Views
from suimon.store.tx import Tx

OPERATORS_TAGS: Final = "change_operators_tags"
"""The rule that says who gives and takes them."""
_TAGS: Final = checks.having({"tags": checks.schema_of(tag_list)}, "tags")
_LIST: Final = "{}/tags"
_ONE: Final = "{}/tags/{}"


class Kind(NamedTuple):
    """What has tags; `get` is what the thing is found by, for those who may see it."""

    spec: Spec
    get: Callable[[Tx, Actor, str], Shown]

    def find(self, tx: Tx, actor: Actor, id_: str) -> Thing:
        """Raises NotFound."""
        thing = self.get(tx, actor, id_).thing
        assert isinstance(thing, Thing)
        return thing


def require_may_tag(actor: Actor, tags: Iterable[str]) -> None:
    """Raises Forbidden for tags among these that only operators give and take."""
    if any(tag.startswith(OPERATORS) for tag in tags):
        require(actor, OPERATORS_TAGS, Target(""))


def tagged(resources: Mapping[str, Resource]) -> dict[str, Resource]:
    """Those of them that have tags, with the views of their tags."""
    return {
        path: msgspec.structs.replace(kind, views={**kind.views, **tag_views(kind.spec, kind.get)})
        for path, kind in resources.items()
        if kind.get and kind.spec.named("tags")
    }


def tag_views(spec: Spec, get: Callable[[Tx, Actor, str], Shown]) -> Views:
    """What a kind with tags answers below each of its things."""
    kind = Kind(spec, get)

    def view(act: Callable[[Kind, Tx, Actor, Asked], object], status: int = 200) -> View:
        return View(partial(act, kind), status)

    return {
        f"GET {_LIST}": view(_read),
        f"PUT {_LIST}": view(_replace),
        f"POST {_LIST}": view(_add),
        f"DELETE {_LIST}": view(_clear, 204),
        f"GET {_ONE}": view(_look_up, 204),
        f"PUT {_ONE}": view(_add_one, 201),
        f"DELETE {_ONE}": view(_remove_one, 204),
    }


def _read(kind: Kind, tx: Tx, actor: Actor, asked: Asked) -> object:
    return {"tags": list(kind.find(tx, actor, asked.ids[0]).tags)}


def _look_up(kind: Kind, tx: Tx, actor: Actor, asked: Asked) -> None:
    _require_tag(kind.find(tx, actor, asked.ids[0]), asked.ids[1])


@checks.takes(_TAGS)
def _replace(kind: Kind, tx: Tx, actor: Actor, asked: Asked) -> object:
    tags = _given(asked.body)
    thing = _writable(kind, tx, actor, asked, "update")
    kept = _kept(actor, thing) - set(tags)
    _set(kind, tx, actor, thing, {*tags, *kept})
    return {"tags": [*tags, *sorted(kept)]} if kept else asked.body


@checks.takes(_TAGS)
def _add(kind: Kind, tx: Tx, actor: Actor, asked: Asked) -> object:
    tags = _given(asked.body)
    thing = _writable(kind, tx, actor, asked, "create")
    _set(kind, tx, actor, thing, {*thing.tags, *tags})
    return asked.body


def _add_one(kind: Kind, tx: Tx, actor: Actor, asked: Asked) -> None:
    (tag,) = _given({"tags": [asked.ids[1]]})
    thing = _writable(kind, tx, actor, asked, "update")
    _set(kind, tx, actor, thing, {*thing.tags, tag})


def _clear(kind: Kind, tx: Tx, actor: Actor, asked: Asked) -> None:
    thing = _writable(kind, tx, actor, asked, "delete")
    _set(kind, tx, actor, thing, _kept(actor, thing))


def _remove_one(kind: Kind, tx: Tx, actor: Actor, asked: Asked) -> None:
    thing = _writable(kind, tx, actor, asked, "delete")
    _require_tag(thing, asked.ids[1])
    _set(kind, tx, actor, thing, set(thing.tags) - {asked.ids[1]})


def _writable(kind: Kind, tx: Tx, actor: Actor, asked: Asked, act: str) -> Thing:
    """The thing, if its tags are for this actor to change."""
    thing = kind.find(tx, actor, asked.ids[0])
    network = tx.get(Network, getattr(thing, "network_id", ""))
    require(
        actor,
        f"{act}_{kind.spec.singular}:tags",
        Target(thing.project_id, network.project_id if network else ""),
    )
    require_revision(thing, asked.expected)
    return thing


def _kept(actor: Actor, thing: Thing) -> set[str]:
    """Operators' tags stay when somebody else replaces or takes away all."""
    return set() if permits(actor, OPERATORS_TAGS) else {tag for tag in thing.tags if tag.startswith(OPERATORS)}


def _set(kind: Kind, tx: Tx, actor: Actor, thing: Thing, wanted: Iterable[str]) -> None:
    """A thing that keeps the tags that it has is not changed. Raises Forbidden for an operators' tag."""
    tags = tuple(sorted(wanted))
    require_may_tag(actor, set(tags) ^ set(thing.tags))
    require_few(kind.spec.plural, tags)
    if tags != thing.tags:
        tx.change(thing, tags=tags)


def _given(body: object) -> tuple[str, ...]:
    if not isinstance(body, dict) or "tags" not in body:
        raise checks.invalid("Invalid tags body")
    try:
        tags = tag_list(body["tags"])
    except Unfit as unfit:
        raise checks.invalid(str(unfit)) from None
    assert isinstance(tags, tuple)
    return tags


def _require_tag(thing: Thing, tag: str) -> None:
    if tag not in thing.tags:
        raise NotFound(f"Tag {tag} could not be found.", "TagNotFound")
