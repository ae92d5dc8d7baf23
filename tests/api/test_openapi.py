"""The document at /openapi.json: valid, complete, and true of what the API answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from suimon.model import checks
from suimon.model.checks import schema_of
from suimon.resources.registry import RESOURCES
from suimon.resources.resource import Child, Resource
from tests.api.cloud import Answer, Cloud
from tests.api.fuzz import Template, explore
from tests.api.fuzz_requests import Api, Asked


@pytest.fixture(scope="module")
def document(shared_cloud: Cloud) -> dict[str, Any]:
    answer = shared_cloud.call("GET", "/openapi.json")
    assert answer.status == 200
    return dict(answer.json)


def test_it_is_valid_and_needs_no_token(document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(document).validate()


@pytest.mark.parametrize("method, path", [("POST", "/openapi.json"), ("GET", "/openapi.json/x")])
def test_there_is_nothing_else(shared_cloud: Cloud, method: str, path: str) -> None:
    assert shared_cloud.call(method, path).status == 404


def test_everything_that_is_served_is_in_it(document: dict[str, Any]) -> None:
    for path, resource in RESOURCES.items():
        methods = {*document["paths"].get(f"/v2.0/{path}", {}), *document["paths"].get(f"/v2.0/{path}/{{id}}", {})}
        acts = {"get": resource.get or resource.list, "post": resource.create, "put": resource.update}
        assert {method for method, act in acts.items() if act} <= methods, path
        for action in resource.actions:
            assert "put" in document["paths"][f"/v2.0/{path}/{{id}}/{action}"]
        for below in resource.children:
            assert f"/v2.0/{path}/{{{resource.spec.singular}_id}}/{below}" in document["paths"]


@pytest.mark.parametrize("path", RESOURCES)
def test_each_attribute_that_can_be_set_says_what_it_takes(path: str) -> None:
    def silent(resource: Resource | Child) -> list[str]:
        settable = [it for it in resource.spec.attributes if it.post or it.put]
        return [it.name for it in settable if schema_of(it.check) is None or it.check is checks.anything]

    found = silent(RESOURCES[path]) + [name for child in RESOURCES[path].children.values() for name in silent(child)]
    assert not found, f"put @checks.takes(JSON schema) on the checks of {found}"


def test_what_goes_in_and_comes_out_is_described(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    made = schemas["subnets.create"]
    assert {"network_id", "ip_version"} <= set(made["required"]) and made["additionalProperties"] is False
    assert made["properties"]["network_id"] == {"type": "string", "format": "uuid"}
    assert "cidr" not in schemas["subnets.update"]["properties"]
    assert schemas["networks"]["properties"]["admin_state_up"] == {"type": "boolean"}
    assert schemas["networks"]["properties"]["created_at"] == {"type": "string", "format": "date-time"}
    named = {Api(document).found(it)["name"] for it in document["paths"]["/v2.0/ports"]["get"]["parameters"]}
    assert {"fixed_ips", "device_id", "fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir"} <= named
    assert "security_groups" in named and "binding:profile" not in named


@pytest.mark.parametrize(
    "status, body, words",
    [
        (500, b'{"NeutronError": {"type": "t", "message": "m", "detail": ""}}', "500 is not documented"),
        (200, b'{"network": {"surprise": 1}}', "surprise"),
        (200, b'{"network": {"admin_state_up": "yes"}}', "yes"),
        (404, b'{"error": {}}', "NeutronError"),
        (200, b'{"network": {"name": "n"}}', None),
    ],
)
def test_a_wrong_answer_is_complained_of(document: dict[str, Any], status: int, body: bytes, words: str | None) -> None:
    asked = Asked("admin", "GET", "/v2.0/networks/{id}", ("x",), (), None, {})
    complaint = Api(document).complaint(asked, Answer(status, {}, body))
    assert (complaint is None) if words is None else (complaint is not None and words in complaint)


def test_a_thousand_requests_are_answered_as_documented(tmp_path: Path) -> None:
    statuses = explore(Template(tmp_path), 1000)
    assert statuses.total() >= 1000
    assert {200, 201, 204, 400, 401, 403, 404, 409} <= set(statuses)
