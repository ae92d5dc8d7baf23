"""Neutron's requests, the same for every resource: found by path in the registry, checked by a Spec, done by acts.

    GET    /networks      list       POST   /networks            create, one or many
    GET    /networks/ID   show       PUT    /networks/ID         update
    DELETE /networks/ID   delete     PUT    /routers/ID/ACTION   an action of the resource's own

and the same below a parent: /qos/policies/ID/bandwidth_limit_rules. A trailing `.json` is accepted, as Neutron does.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec
from starlette.responses import Response

from suimon.api.errors import MISSING, UNCOMPLIABLE, MethodNotAllowed, network_error
from suimon.api.gate import Gate
from suimon.api.network import extensions
from suimon.api.network.below import resource_below
from suimon.api.network.documents import collections
from suimon.api.network.pages import page_links
from suimon.api.wire import Call, answer, no_content, require_json_accepted
from suimon.model.actor import Actor
from suimon.model.attributes import Shown
from suimon.model.errors import BadRequest, CallerError, Forbidden, NotFound
from suimon.model.query import Query, parse_query
from suimon.resources.listing import Listed
from suimon.resources.persona import narrows, seen
from suimon.resources.resource import Action, Asked, Resource, View
from suimon.store.tx import Tx

Handler = Callable[[], Awaitable[Response]]

_IF_MATCH: Final = "revision_number="


class _Unprepared(Exception):
    """What has to be there when this actor lists isn't yet."""

    def __init__(self, actor: Actor) -> None:
        super().__init__()
        self.actor = actor


class NetworkService:
    """Answers under `/v2.0`."""

    dialect = staticmethod(network_error)

    def __init__(self, gate: Gate, resources: Mapping[str, Resource]) -> None:
        self._gate = gate
        self._resources = resources
        self._advertised = _advertised(resources)

    async def answer(self, call: Call) -> Response:
        """Raises what is wrong with the request, and what the acts raise."""
        try:
            require_json_accepted(call)
            handler = self._find(call)
        except CallerError:
            await self._gate.actor(call)  # A stranger learns that a token is needed, and nothing else.
            raise
        return await handler()

    def _find(self, call: Call) -> Handler:
        """What a method does at a path. Raises NotFound, MethodNotAllowed."""
        path = call.segments
        if path and path[-1].endswith(".json"):
            path = (*path[:-1], path[-1].removesuffix(".json"))
        if not path or path[0] == "extensions":
            return self._document(call, path)
        for length in (1, 2):
            resource = self._resources.get("/".join(path[:length]))
            if resource is not None:
                return self._within(call, resource, path[length:])
        raise NotFound(MISSING)

    def _within(self, call: Call, resource: Resource, rest: tuple[str, ...]) -> Handler:
        """Below a collection: nothing, an id, or an id and what is below that."""
        method = call.method
        for path, view in resource.views.items():
            if (ids := _fit(path, method, rest)) is not None:
                return partial(self._view, call, view, ids)
        match method, rest:
            case "GET", () if resource.list:
                return partial(self._index, call, resource)
            case "POST", () if resource.create:
                return partial(self._create, call, resource)
            case "PUT" | "DELETE", () if resource.get:
                return partial(self._show, call, resource, "None")  # Neutron, too, misses the one called None.
            case "GET", (id_,) if resource.get:
                return partial(self._show, call, resource, id_)
            case "PUT", (id_,) if resource.update:
                return partial(self._update, call, resource, id_)
            case "DELETE", (id_,) if resource.delete:
                return partial(self._delete, call, resource, id_)
            case "PUT", (id_, action) if action in resource.actions:
                return partial(self._act, call, resource.actions[action], id_)
            case _, () | (_,) if resource.list or resource.get or resource.create:
                raise MethodNotAllowed(UNCOMPLIABLE)
            case _, (id_, below, *deeper) if below in resource.children:
                return self._within(call, resource_below(resource.children[below], id_), tuple(deeper))
        if any(_fit(path, None, rest) is not None for path in resource.views):
            raise MethodNotAllowed(UNCOMPLIABLE)
        raise NotFound(MISSING)

    async def _index(self, call: Call, resource: Resource) -> Response:
        query = parse_query(resource.spec, call.query())

        def read(tx: Tx, actor: Actor) -> bytes:
            if resource.unprepared and resource.unprepared(tx, _scoped(actor), query):
                raise _Unprepared(actor)
            page = _listed(resource, tx, _scoped(actor), query)
            body: dict[str, object] = {resource.spec.plural: page.items}
            if links := page_links(call, query, page.ids):
                body[f"{resource.spec.plural}_links"] = links
            return msgspec.json.encode(body)

        try:
            return answer(await self._gate.read(call, read))
        except _Unprepared as unprepared:
            prepare, actor = resource.prepare, unprepared.actor
        assert prepare is not None
        await self._gate.store.write(lambda tx: prepare(tx, actor, query), actor)
        return answer(await self._gate.read(call, read))

    async def _show(self, call: Call, resource: Resource, id_: str) -> Response:
        fields = [value for key, value in call.query() if key == "fields"]
        get = resource.get
        assert get is not None

        def read(tx: Tx, actor: Actor) -> bytes:
            shown = get(tx, _scoped(actor), id_)
            if not seen(tx, actor, resource.spec, [shown]):
                raise NotFound(MISSING)
            return msgspec.json.encode({resource.spec.singular: resource.spec.render(shown, actor, fields)})

        return answer(await self._gate.read(call, read, one_statement=True))

    async def _create(self, call: Call, resource: Resource) -> Response:
        actor = _scoped(await self._gate.actor(call))
        spec = resource.spec
        items, many = spec.unwrap(await call.json())
        wanted = [spec.for_create(item, actor) for item in items]
        made = await self._gate.store.write(lambda tx: _made(resource, tx, actor, wanted), actor)
        rendered = [spec.render(shown, actor) for shown in made]
        return answer({spec.plural: rendered} if many else {spec.singular: rendered[0]}, 201)

    async def _update(self, call: Call, resource: Resource, id_: str) -> Response:
        actor = _scoped(await self._gate.actor(call))
        spec, revision = resource.spec, _expected_revision(call)
        items, many = spec.unwrap(await call.json())
        if many:
            raise BadRequest(f"Unable to find '{spec.singular}' in request body")
        wanted = spec.for_update(items[0], actor)
        act = resource.update
        assert act is not None
        shown = await self._gate.store.write(lambda tx: act(tx, actor, id_, wanted, revision), actor)
        return answer({spec.singular: spec.render(shown, actor)})

    async def _delete(self, call: Call, resource: Resource, id_: str) -> Response:
        actor = _scoped(await self._gate.actor(call))
        revision, act = _expected_revision(call), resource.delete
        assert act is not None
        await self._gate.store.write(lambda tx: act(tx, actor, id_, revision), actor)
        return no_content()

    async def _act(self, call: Call, act: Action, id_: str) -> Response:
        actor = _scoped(await self._gate.actor(call))
        body = await call.json()
        return answer(await self._gate.store.write(lambda tx: act(tx, actor, id_, body), actor))

    async def _view(self, call: Call, view: View, ids: tuple[str, ...]) -> Response:
        if not (call.method != "GET" if view.writes is None else view.writes):
            asked = Asked(ids=ids, query=tuple(call.query()))
            body = await self._gate.read(call, lambda tx, actor: view.act(tx, _scoped(actor), asked))
        else:
            actor = _scoped(await self._gate.actor(call))
            body = None if call.method == "GET" else await call.json()
            asked = Asked(ids=ids, body=body, query=tuple(call.query()), expected=_expected_revision(call))
            body = await self._gate.store.write(lambda tx: view.act(tx, actor, asked), actor)
        return no_content() if view.status == 204 else answer(body, view.status)

    def _document(self, call: Call, path: tuple[str, ...]) -> Handler:
        """What is the same for everybody, but only for those with a token."""
        if call.method != "GET":
            raise MethodNotAllowed(UNCOMPLIABLE)

        async def told() -> Response:
            await self._gate.actor(call)
            match path:
                case ():
                    listed = {path: kind.spec.singular for path, kind in self._resources.items() if kind.list}
                    return answer(collections(call.origin, listed))
                case (_,):
                    return extensions.listed(self._advertised)
                case (_, alias):
                    return extensions.one(self._advertised, alias)
            raise NotFound(MISSING)

        return told


def _listed(resource: Resource, tx: Tx, actor: Actor, query: Query) -> Listed:
    if resource.listed and not narrows(resource.spec):
        return resource.listed(tx, actor, query)
    assert resource.list is not None
    page = seen(tx, actor, resource.spec, resource.list(tx, actor, query))
    rendered = [resource.spec.render(shown, actor, query.fields) for shown in page]
    return Listed(rendered, [shown.id for shown in page])


def _made(resource: Resource, tx: Tx, actor: Actor, wanted: list[dict[str, Any]]) -> Sequence[Shown]:
    if resource.create_many:
        return resource.create_many(tx, actor, wanted)
    assert resource.create is not None
    return [resource.create(tx, actor, one) for one in wanted]


def _fit(path: str, method: str | None, rest: tuple[str, ...]) -> tuple[str, ...] | None:
    """The ids of a path that a view's `METHOD pattern` describes, else None; None is any method."""
    verb, _, pattern = path.partition(" ")
    parts = pattern.split("/") if pattern else []
    if method not in (None, verb) or len(parts) != len(rest):
        return None
    if any(part not in ("{}", segment) for part, segment in zip(parts, rest, strict=True)):
        return None
    return tuple(segment for part, segment in zip(parts, rest, strict=True) if part == "{}")


def _scoped(actor: Actor) -> Actor:
    """Raises Forbidden for a token without a project: things that belong to nobody would be its own."""
    if not actor.project_id:
        raise Forbidden("The network API needs a token that is scoped to a project.")
    return actor


def _expected_revision(call: Call) -> int | None:
    """What If-Match says of the revision; other forms of it are ignored, as Neutron does. Raises BadRequest."""
    header = call.header("if-match")
    if not header.startswith(_IF_MATCH):
        return None
    number = header.removeprefix(_IF_MATCH)
    digits = number.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise BadRequest("Bad if-match request: revision_number must be an integer.", "BadRequest")
    return int(number)


def _advertised(resources: Mapping[str, Resource]) -> frozenset[str]:
    """What the registry has, as `extensions` asks for it."""
    things: set[str] = set()
    for path, resource in resources.items():
        things |= extensions.things_of(path, resource.spec)
        things |= {f"{path}/{action}" for action in resource.actions}
        things |= {f"{path} {view}" for view in resource.views}
        for name, below in resource.children.items():
            things |= extensions.things_of(f"{path}/{name}", below.spec)
            things |= {f"{path}/{name} {view}" for view in below.views}
    return frozenset(things)
