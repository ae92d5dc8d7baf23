"""Requests made up from the OpenAPI document, and what the document says of their answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from tests.api.cloud import Answer

ACCOUNTS: Final = (*("admin",) * 6, *("member",) * 4, "reader", "nobody")
NOT_THERE: Final = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
_FORMATS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "ipv4": st.sampled_from(["10.0.0.5", "10.0.0.0", "255.255.255.255", "0.0.0.0", "203.0.113.9"]),
    "ipv6": st.sampled_from(["fd00::5", "::", "ff02::1", "fe80::1"]),
    "cidr": st.sampled_from(
        ["10.0.0.0/24", "10.9.0.0/16", "0.0.0.0/0", "fd00::/64", "::/0", "10.0.0.1/32", "10.3.0.0/31"]
    ),
    "mac": st.sampled_from(["fa:16:3e:00:00:01", "02-00-00-00-00-01", "ff:ff:ff:ff:ff:ff"]),
}
_JUNK: Final = st.sampled_from(
    [None, True, -1, 0, 1, 4096, 1 << 31, (1 << 63) - 1, -(1 << 63), 1.5, "", "x", "x" * 300, "\u0000",
     "\ud7ff\U0001f600", "10.0.0.300", "[]", [], [None], {}, {"": None}, [[]], [{}], "%", "'", "*", "true", "1e9"]
)  # fmt: skip


class Known(NamedTuple):
    """Stands for the id of something there is of this kind; the number says which."""

    kind: str
    pick: int


class Asked(NamedTuple):
    """One request; its path, query and body may have `Known` in them."""

    account: str
    method: str
    template: str
    ids: tuple[Known | str, ...]
    query: tuple[tuple[str, Any], ...]
    body: Any
    headers: Mapping[str, str]


class Api:
    """The document, as a source of requests and a judge of answers."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.operations = [
            (method, path, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        ]
        schemas = document["components"]["schemas"]
        self._kinds = sorted(
            {schema["title"] for schema in schemas.values() if "title" in schema}, key=len, reverse=True
        )
        self._validators: dict[tuple[str, str, int], Draft202012Validator] = {}

    def kind(self, name: str) -> str:
        """What an attribute or a place in a path names: `floating_network_id` is a network's."""
        bare = name.removesuffix("_id").removesuffix("s")
        return next((kind for kind in self._kinds if bare.endswith(kind)), "")

    def ids(self, path: str) -> list[Known]:
        """The first of everything that a path names."""
        own = self._tag(next(iter(self.document["paths"][path].values())))
        return [Known(self.kind(it.strip("{}")) or own, 0) for it in path.split("/") if it.startswith("{")]

    def found(self, part: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a part of the document is, or stands for."""
        found: Mapping[str, Any] = part
        for name in part.get("$ref", "#").split("/")[1:]:
            found = (self.document if found is part else found)[name]
        return found

    def kind_made(self, asked: Asked) -> str:
        """What a request makes."""
        return self._tag(self.document["paths"][asked.template][asked.method.lower()])

    @staticmethod
    def _tag(operation: Mapping[str, Any]) -> str:
        return str(operation.get("tags", [""])[0])

    def value(self, schema: Mapping[str, Any], name: str = "") -> st.SearchStrategy[Any]:
        """Values that fit the schema, mostly."""
        return _mostly(self._fitting(schema, name), _JUNK)

    def _fitting(self, schema: Mapping[str, Any], name: str) -> st.SearchStrategy[Any]:
        match schema:
            case {"$ref": _}:
                return self._fitting(self.found(schema), name)
            case {"anyOf": options}:
                rest = {key: value for key, value in schema.items() if key != "anyOf"}
                return st.one_of([self._fitting({**rest, **option}, name) for option in options])
            case {"const": value}:
                return st.just(value)
            case {"enum": values}:
                return st.sampled_from(values)
            case {"type": [*types]}:
                return st.one_of([self._fitting({**schema, "type": type_}, name) for type_ in types])
            case {"type": "null"}:
                return st.none()
            case {"type": "boolean"}:
                return st.booleans()
            case {"type": "integer"}:
                low, high = schema.get("minimum", -2), schema.get("maximum", 70_000)
                return st.one_of(st.integers(low, high), st.sampled_from([low, high]))
            case {"type": "array"}:
                return st.lists(st.deferred(lambda: self.value(schema.get("items", {}), name)), max_size=3)
            case {"type": "object"}:
                return self._object(schema)
            case {"type": "string"}:
                return self._text(schema, name)
        return _JUNK

    def _text(self, schema: Mapping[str, Any], name: str) -> st.SearchStrategy[Any]:
        if schema.get("format") == "uuid":
            return st.one_of(st.builds(Known, st.just(self.kind(name)), st.integers(0, 3)), st.just(NOT_THERE))
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        known = st.builds(Known, st.just("project"), st.integers(0, 2)) if name.endswith("project_id") else st.just("n")
        return st.one_of(known, st.text(max_size=min(schema.get("maxLength", 20), 300)))

    def _object(self, schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
        properties = {key: self.value(it, key) for key, it in schema.get("properties", {}).items()}
        required = {key: properties.pop(key) for key in schema.get("required", ())}
        # A few of the many optional attributes: each wrong value hides what the others would have done.
        few = st.lists(st.sampled_from(sorted(properties)), max_size=3, unique=True) if properties else st.just([])
        return few.flatmap(
            lambda names: st.fixed_dictionaries({**required, **{name: properties[name] for name in names}})
        )

    def requests(self) -> st.SearchStrategy[Asked]:
        """Any operation, asked for by anybody."""
        made = {(method, path): self._request(method, path, it) for method, path, it in self.operations}
        writing = [it for it in made if it[0] in ("post", "put")]
        return st.sampled_from([*made, *writing, *writing]).flatmap(made.__getitem__)

    def _request(self, method: str, path: str, operation: Mapping[str, Any]) -> st.SearchStrategy[Asked]:
        parents = [part.strip("{}") for part in path.split("/") if part.startswith("{")]
        own = self._tag(operation)
        ids = [
            _mostly(st.builds(Known, st.just(self.kind(it) or own), st.integers(0, 3)), st.just("none"))
            for it in parents
        ]
        given = [self.found(it) for it in operation["parameters"]]
        parameters = {it["name"]: it["schema"] for it in given if it["in"] == "query"}
        pair = st.sampled_from(sorted(parameters)).flatmap(
            lambda it: st.tuples(st.just(it), self._parameter(it, parameters[it]))
        )
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
        return st.builds(
            Asked,
            account=st.sampled_from(ACCOUNTS),
            method=st.just(method.upper()),
            template=st.just(path),
            ids=st.tuples(*ids),
            query=st.lists(pair, max_size=3).map(tuple) if parameters else st.just(()),
            body=st.none() if body is None else self.value(body),
            headers=st.sampled_from([{}, {}, {}, {"if-match": "revision_number=0"}, {"if-match": "revision_number=x"}]),
        )

    def _parameter(self, name: str, schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
        one = self._fitting(schema.get("items", schema), name)
        return _mostly(one, st.sampled_from(["", "true", "-1", NOT_THERE, "x" * 300, "tcp"]))

    def complaint(self, asked: Asked, answer: Answer) -> str | None:
        """What is wrong with an answer; None when it is as documented."""
        responses = self.document["paths"][asked.template][asked.method.lower()]["responses"]
        if str(answer.status) not in responses:
            return f"{answer.status} is not documented: {answer.body[:500]!r}"
        content = self.found(responses[str(answer.status)]).get("content")
        if content is None:
            return f"a body with {answer.status}: {answer.body[:500]!r}" if answer.body else None
        key = (asked.method, asked.template, answer.status)
        if key not in self._validators:
            schema = {"components": self.document["components"], **content["application/json"]["schema"]}
            self._validators[key] = Draft202012Validator(schema)
        error = next(self._validators[key].iter_errors(answer.json), None)
        return None if error is None else f"{answer.status}, but {error.json_path}: {error.message[:500]}"


def _mostly(usual: st.SearchStrategy[Any], seldom: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 19).flatmap(lambda n: usual if n < 19 else seldom)
