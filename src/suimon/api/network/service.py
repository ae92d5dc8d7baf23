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
from suimon.api.network.documents import collections, rule_types
from suimon.api.network.pages import page_links
from suimon.api.wire import Call, answer, no_content, require_json_accepted
from suimon.model.actor import Actor
from suimon.model.attributes import Shown
from suimon.model.errors import BadRequest, CallerError, Forbidden, NotFound
from suimon.model.query import parse_query
from suimon.resources.registry import Action, Resource
from suimon.store.tx import Tx

Handler = Callable[[], Awaitable[Response]]

_IF_MATCH: Final = "revision_number="
_RULE_TYPES: Final = ("qos", "rule-types")


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
        if not path or path[0] == "extensions" or path == _RULE_TYPES:
            return self._document(call, path)
        for length in (1, 2):
            resource = self._resources.get("/".join(path[:length]))
            if resource is not None:
                return self._within(call, resource, path[length:])
        raise NotFound(MISSING)

    def _within(self, call: Call, resource: Resource, rest: tuple[str, ...]) -> Handler:
        """Below a collection: nothing, an id, or an id and what is below that."""
        match call.method, rest:
            case "GET", ():
                return partial(self._index, call, resource)
            case "POST", () if resource.create:
                return partial(self._create, call, resource)
            case "PUT" | "DELETE", ():
                return partial(self._show, call, resource, "None")  # Neutron, too, misses the one called None.
            case "GET", (id_,):
                return partial(self._show, call, resource, id_)
            case "PUT", (id_,) if resource.update:
                return partial(self._update, call, resource, id_)
            case "DELETE", (id_,) if resource.delete:
                return partial(self._delete, call, resource, id_)
            case "PUT", (id_, action) if action in resource.actions:
                return partial(self._act, call, resource.actions[action], id_)
            case _, () | (_,):
                raise MethodNotAllowed(UNCOMPLIABLE)
            case _, (id_, below, *deeper) if below in resource.children:
                return self._within(call, resource_below(resource.children[below], id_), tuple(deeper))
        raise NotFound(MISSING)

    async def _index(self, call: Call, resource: Resource) -> Response:
        query = parse_query(resource.spec, call.query())
        if resource.unprepared and resource.prepare:
            await self._prepare(call, resource.unprepared, resource.prepare)

        def read(tx: Tx, actor: Actor) -> bytes:
            page = resource.list(tx, _scoped(actor), query)
            body: dict[str, object] = {
                resource.spec.plural: [resource.spec.render(shown, actor, query.fields) for shown in page]
            }
            if links := page_links(call, query, page):
                body[f"{resource.spec.plural}_links"] = links
            return msgspec.json.encode(body)

        return answer(await self._gate.read(call, read))

    async def _show(self, call: Call, resource: Resource, id_: str) -> Response:
        fields = [value for key, value in call.query() if key == "fields"]

        def read(tx: Tx, actor: Actor) -> bytes:
            shown = resource.get(tx, _scoped(actor), id_)
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

    async def _prepare(
        self, call: Call, unprepared: Callable[[Tx, Actor], bool], prepare: Callable[[Tx, Actor], None]
    ) -> None:
        """Makes what has to be there when somebody lists."""
        actor, lacks = await self._gate.read(call, lambda tx, actor: (actor, unprepared(tx, _scoped(actor))))
        if lacks:
            await self._gate.store.write(lambda tx: prepare(tx, actor), actor)

    def _document(self, call: Call, path: tuple[str, ...]) -> Handler:
        """What is the same for everybody, but only for those with a token."""
        if call.method != "GET":
            raise MethodNotAllowed(UNCOMPLIABLE)

        async def told() -> Response:
            await self._gate.actor(call)
            match path:
                case ():
                    return answer(collections(call.origin, {p: r.spec.singular for p, r in self._resources.items()}))
                case (_,):
                    return extensions.listed(self._advertised)
                case ("qos", _):
                    return answer(rule_types(self._resources["qos/policies"].children))
                case (_, alias):
                    return extensions.one(self._advertised, alias)
            raise NotFound(MISSING)

        return told


def _made(resource: Resource, tx: Tx, actor: Actor, wanted: list[dict[str, Any]]) -> Sequence[Shown]:
    if resource.create_many:
        return resource.create_many(tx, actor, wanted)
    assert resource.create is not None
    return [resource.create(tx, actor, one) for one in wanted]


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
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        raise BadRequest("Bad if-match request: revision_number must be an integer.", "BadRequest")
    return int(number)


def _advertised(resources: Mapping[str, Resource]) -> frozenset[str]:
    """What the registry has, as `extensions` asks for it."""
    things: set[str] = set()
    for path, resource in resources.items():
        things |= extensions.things_of(path, resource.spec)
        things |= {f"{path}/{action}" for action in resource.actions}
        for name, below in resource.children.items():
            things |= extensions.things_of(f"{path}/{name}", below.spec)
    return frozenset(things)
