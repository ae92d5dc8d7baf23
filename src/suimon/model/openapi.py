"""The OpenAPI 3.1 document of the network API, which follows from the specs and from what can be done with each.

What a value looks like comes from the checks (going in) and from the structs (coming out); which parameters a list
takes, from what can be filtered and sorted by. What the document does not know, it leaves open ({} is anything).
OpenAPI Specification 3.1.1; the bodies are those of the Networking API reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, get_type_hints

import msgspec

from suimon.model.attributes import MOST_AT_ONCE, REQUIRED, Attribute, Spec, as_it_is, when
from suimon.model.checks import Schema, having, schema_of
from suimon.model.query import CHANGED_SINCE

Verb = Literal["list", "show", "create", "update", "delete"]
Document = dict[str, Any]

_METHODS: Final[dict[Verb, tuple[str, int]]] = {
    "list": ("get", 200),
    "show": ("get", 200),
    "create": ("post", 201),
    "update": ("put", 200),
    "delete": ("delete", 204),
}
_REFUSALS: Final = {
    400: "Malformed, or it says something impossible.",
    401: "No living token.",
    403: "The caller may not do this.",
    404: "There is no such thing, or the caller may not know of it.",
    406: "The client takes no JSON.",
    408: "The body did not arrive in time.",
    409: "The state of the world forbids it.",
    412: "If-Match names another revision.",
    413: "The body is too large.",
    503: "Not now; trying again may help.",
}
_WITH_BODY: Final = {408, 413}
_WRITING: Final = {409, 412}
_TEXTS: Final = {"type": "array", "items": {"type": "string"}}
_PAGING: Final[dict[str, Schema]] = {
    "fields": _TEXTS,
    "sort_dir": {"type": "array", "items": {"enum": ["asc", "desc"]}},
    "limit": {"type": "integer", "minimum": 0, "maximum": 999_999_999},
    "marker": {"type": "string"},
    "page_reverse": {"type": "boolean"},
}
_LINKS: Final = {"type": "array", "items": {"type": "object", "required": ["rel", "href"]}}


class ServedView(NamedTuple):
    """What is at a path that isn't a collection's own: the status of its answer, what it takes, whether it writes."""

    status: int
    takes: Schema
    writes: bool


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """A collection: what can be done with it, and what there is besides.

    `views` are by `METHOD pattern`: what is behind the collection's path, `{}` for an id.
    """

    spec: Spec
    verbs: frozenset[Verb]
    views: Mapping[str, ServedView] = {}
    children: Mapping[str, Served] = {}


def document(collections: Mapping[str, Served], version: str) -> Document:
    """Of the collections under /v2.0, by path."""
    paths, schemas = _fixed(), {"error": _ERROR, "identity_error": _IDENTITY_ERROR}
    for path, served in collections.items():
        _add(paths, schemas, path, path.replace("/", "."), served)
    return {
        "openapi": "3.1.1",
        "info": {"title": "Suimon, the network API", "version": version},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {str(status): _refusal(status, text) for status, text in _REFUSALS.items()},
            "parameters": {name: _parameter(name, schema) for name, schema in _PAGING.items()},
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}},
        },
    }


def _add(paths: Document, schemas: Document, path: str, name: str, served: Served) -> None:
    """A collection and what is below it. `path` may have its parent's id in it, its schemas' `name` has not."""
    spec = served.spec
    schemas[name] = _shown(spec)
    if "create" in served.verbs:
        schemas[f"{name}.create"] = _given(spec, [it for it in spec.attributes if it.post], creating=True)
    if "update" in served.verbs:
        schemas[f"{name}.update"] = _given(spec, [it for it in spec.attributes if it.put], creating=False)
    for verb in sorted(served.verbs):
        method, status = _METHODS[verb]
        where = f"/v2.0/{path}" if verb in ("list", "create") else f"/v2.0/{path}/{{id}}"
        told = {"summary": f"{verb} {spec.plural}", "tags": [spec.singular], **_bodies(verb, spec, name)}
        told["parameters"] = [*_ids(where), *_query(verb, spec)]
        paths.setdefault(where, {})[method] = _operation(told, f"{method} {where}", status, writes=method != "get")
    for view, (status, takes, writes) in served.views.items():
        method, _, pattern = view.partition(" ")
        where = "/".join(filter(None, [f"/v2.0/{path}", _named(pattern)]))
        told = {"summary": view, "tags": [spec.singular], "parameters": _ids(where)}
        if method not in ("GET", "DELETE"):
            told["requestBody"] = _content(takes)
        operation = _operation(told, f"{method.lower()} {where}", status, writes=writes)
        paths.setdefault(where, {})[method.lower()] = operation
    for below, child in served.children.items():
        _add(paths, schemas, f"{path}/{{{spec.singular}_id}}/{below}", f"{name}.{below}", child)


def _operation(told: Document, id_: str, status: int, *, writes: bool) -> Document:
    """With its answers; `told` has the body of the good one as `answer`."""
    never = (set() if "requestBody" in told else _WITH_BODY) | (set() if writes else _WRITING)
    responses = {
        str(status): {"description": "Done.", **told.pop("answer", {} if status == 204 else _content({}))},
        **{str(code): {"$ref": f"#/components/responses/{code}"} for code in _REFUSALS.keys() - never},
    }
    return {"operationId": id_, **told, "responses": dict(sorted(responses.items()))}


def _bodies(verb: Verb, spec: Spec, name: str) -> Document:
    """What goes in and what comes out of an operation on a collection or on one of it."""
    one, many = _wrapped(spec.singular, _ref(name)), _wrapped(spec.plural, {"type": "array", "items": _ref(name)})
    match verb:
        case "list":
            many["properties"][f"{spec.plural}_links"] = _LINKS
            return {"answer": _content(many)}
        case "create":
            items = {"type": "array", "items": _ref(f"{name}.create"), "minItems": 1, "maxItems": MOST_AT_ONCE}
            either = [_wrapped(spec.singular, _ref(f"{name}.create")), _wrapped(spec.plural, items)]
            return {"requestBody": _content({"anyOf": either}), "answer": _content({"anyOf": [one, many]})}
        case "update":
            given = _content(_wrapped(spec.singular, _ref(f"{name}.update")))
            return {"requestBody": given, "answer": _content(one)}
        case "delete":
            return {}
    return {"answer": _content(one)}


def _given(spec: Spec, attributes: Sequence[Attribute], *, creating: bool) -> Document:
    """What may be given of it, and what has to be."""
    properties: Document = {}
    for attribute in attributes:
        properties[attribute.name] = dict(schema_of(attribute.check) or {})
        if creating and isinstance(attribute.default, str | int):
            properties[attribute.name]["default"] = attribute.default
    required = [it.name for it in attributes if it.default is REQUIRED]
    if creating and "project_id" in properties:
        properties["tenant_id"] = {**properties["project_id"], "deprecated": True}
    needed: Document = {"required": required} if creating and required else {}
    return {"title": spec.singular, "type": "object", "properties": properties, "additionalProperties": False, **needed}


def _shown(spec: Spec) -> Document:
    """What is shown of it; none of it is sure to be there, because `fields` chooses and personas differ."""
    hints = get_type_hints(spec.type)
    properties = {it.name: _shown_value(it, hints.get(it.field)) for it in spec.attributes if it.shown}
    if "project_id" in properties:
        properties["tenant_id"] = {**properties["project_id"], "deprecated": True}
    return {"title": spec.singular, "type": "object", "properties": properties, "additionalProperties": False}


def _shown_value(attribute: Attribute, kept_as: Any) -> Document:
    if attribute.field.startswith("constant "):
        return {"const": msgspec.to_builtins(attribute.default)}
    if attribute.show is when:
        return {"type": "string", "format": "date-time"}
    if kept_as is None or attribute.show is not as_it_is:
        return {}
    schema = msgspec.json.schema(kept_as, schema_hook=lambda _: {"description": "anything"})
    return {} if "$defs" in schema else schema


def _query(verb: Verb, spec: Spec) -> list[Document]:
    """A list's filters, order and pages; the fields wanted of what is shown."""
    if verb not in ("list", "show"):
        return []
    paging = [{"$ref": f"#/components/parameters/{name}"} for name in _PAGING]
    if verb == "show":
        return paging[:1]
    sortable = [it.name for it in spec.attributes if it.field in spec.type.__struct_fields__]
    order = _parameter("sort_key", {"type": "array", "items": {"enum": sortable}})
    names = [it.name for it in spec.attributes if it.filter] + sorted(spec.special_filters)
    names += [CHANGED_SINCE] if spec.named("updated_at") else []
    return [*(_parameter(name, _TEXTS) for name in dict.fromkeys(names)), order, *paging]


def _refusal(status: int, text: str) -> Document:
    return {"description": text, **_content(_ref("identity_error" if status == 401 else "error"))}


def _parameter(name: str, schema: Schema) -> Document:
    return {"name": name, "in": "query", "schema": schema}


def _named(pattern: str) -> str:
    """A view's pattern with names for its ids."""
    names: Iterator[str] = iter(("{id}", "{key}", "{key_below}"))
    return "/".join(next(names) if part == "{}" else part for part in filter(None, pattern.split("/")))


def _ids(where: str) -> list[Document]:
    return [
        {"name": part[1:-1], "in": "path", "required": True, "schema": {"type": "string"}}
        for part in where.split("/")
        if part.startswith("{")
    ]


def _ref(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}


def _wrapped(key: str, schema: Schema) -> Document:
    return dict(having({key: schema}, key))


def _content(schema: Schema) -> Document:
    return {"content": {"application/json": {"schema": schema}}}


def _fixed() -> Document:
    """What is the same for everybody."""
    paths: Document = {}
    for where in ("/v2.0", "/v2.0/extensions", "/v2.0/extensions/{alias}", "/v2.0/qos/rule-types"):
        told = {"summary": "what there is", "parameters": _ids(where)}
        paths[where] = {"get": _operation(told, f"get {where}", 200, writes=False)}
    unknown_alias = {"description": "there is no such extension", **_content({"type": "object"})}
    paths["/v2.0/extensions/{alias}"]["get"]["responses"]["404"] = unknown_alias
    return paths


_TEXT: Final = {"type": "string"}
_ERROR: Final = _wrapped(
    "NeutronError",
    having({"type": _TEXT, "message": _TEXT, "detail": _TEXT}, "type", "message", "detail"),
)
_IDENTITY_ERROR: Final = _wrapped(
    "error",
    having({"code": {"type": "integer"}, "title": _TEXT, "message": _TEXT}, "code", "title", "message"),
)
