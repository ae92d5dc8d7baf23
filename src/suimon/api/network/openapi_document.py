"""`GET /openapi.json`: the network API's own description, for generators of clients and for tests, without a token."""

from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import version

import msgspec
from starlette.responses import Response

from suimon.api.errors import MISSING, network_error
from suimon.api.wire import Call, answer
from suimon.model.checks import schema_of
from suimon.model.errors import NotFound
from suimon.model.openapi import Served, ServedView, Verb, document
from suimon.resources.resource import Child, Resource, View


class OpenApi:
    """Answers under `/openapi.json`, and nothing below it."""

    dialect = staticmethod(network_error)

    def __init__(self, resources: Mapping[str, Resource]) -> None:
        self._resources = resources

    async def answer(self, call: Call) -> Response:
        """Raises NotFound for anything but a GET of the document."""
        if call.segments or call.method not in ("GET", "HEAD"):
            raise NotFound(MISSING)
        return answer(self._document)

    @cached_property
    def _document(self) -> bytes:
        collections = {path: _served(resource) for path, resource in self._resources.items()}
        return msgspec.json.encode(document(collections, version("suimon")))


def _served(resource: Resource | Child) -> Served:
    acts: dict[Verb, object] = {
        "list": resource.list,
        "show": resource.get,
        "create": resource.create,
        "update": resource.update,
        "delete": resource.delete,
    }
    views = {path: _view(path, view) for path, view in resource.views.items()}
    children: Mapping[str, Child] = {}
    if isinstance(resource, Resource):
        views |= {
            f"PUT {{}}/{name}": ServedView(200, schema_of(act) or {}, True) for name, act in resource.actions.items()
        }
        children = resource.children
    return Served(
        spec=resource.spec,
        verbs=frozenset(verb for verb, act in acts.items() if act is not None),
        views=views,
        children={path: _served(child) for path, child in children.items()},
    )


def _view(path: str, view: View) -> ServedView:
    writes = not path.startswith("GET") if view.writes is None else view.writes
    return ServedView(view.status, schema_of(view.act) or {}, writes)
