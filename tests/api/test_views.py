"""What the network API answers at paths that aren't a collection's own: tags, quotas, views, children, If-Match."""

from typing import Any

import pytest

from suimon.api.network.extensions import EXTENSIONS
from suimon.api.network.service import NetworkService
from suimon.model.attributes import Attribute, Shown, Spec
from suimon.model.things import Thing
from suimon.resources.resource import Child, Resource, View, few, few_below
from tests.api.cloud import Answer, Cloud

SPEC = Spec(
    singular="leaf",
    plural="leaves",
    path="x",
    type=Thing,
    attributes=(Attribute(name="name", field="name", filter=str),),
)


def leaf(cloud: Cloud, name: str) -> Shown:
    now = cloud.clock()
    return Shown(Thing(id=name, project_id="p", name=name, created_at=now, updated_at=now))


@pytest.fixture
def woods(cloud: Cloud) -> Cloud:
    """A kind of every shape that isn't a table's."""
    gate = cloud.services["v2.0"]._gate  # type: ignore[attr-defined]
    told = View(lambda _tx, _actor, asked: {"ids": asked.ids, "body": asked.body, "expected": asked.expected})
    child = Child(
        spec=SPEC,
        get=lambda tx, actor, tree, name: leaf(cloud, f"{tree} {name}"),
        list=few_below(SPEC, lambda tx, actor, tree: [leaf(cloud, "a"), leaf(cloud, "b")]),
        update=lambda tx, actor, tree, name, wanted, expected: leaf(cloud, f"{tree} {name} {wanted} {expected}"),
        views={"PUT {}/turn": told, "GET ripe": told},
    )
    trees = Resource(
        spec=SPEC,
        list=few(SPEC, lambda tx, actor: [leaf(cloud, "a"), leaf(cloud, "b")]),
        actions={"fell": lambda tx, actor, id_, body: {"felled": id_, "body": body}},
        children={"leaves": child},
        views={
            "GET {}/age": told,
            "POST {}/rings": View(told.act, 201),
            "DELETE {}/rings/{}": View(told.act, 204),
            "GET {}/root": View(lambda tx, actor, asked: tx.touch("root", asked.ids[0], ""), writes=True),
        },
    )
    cloud.services["v2.0"] = NetworkService(gate, {"trees": trees})
    return cloud


def call(cloud: Cloud, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    return cloud.call(method, f"/v2.0/{path}", body, cloud.admin.token, headers)


@pytest.mark.parametrize(
    ("method", "path", "status", "shown"),
    [
        ("GET", "trees/1/age", 200, {"ids": ["1"], "body": None, "expected": None}),
        ("GET", "trees/1/age.json", 200, {"ids": ["1"], "body": None, "expected": None}),
        ("POST", "trees/1/rings", 201, {"ids": ["1"], "body": {"x": 1}, "expected": 7}),
        ("DELETE", "trees/1/rings/2", 204, None),
        ("PUT", "trees/1/fell", 200, {"felled": "1", "body": {"x": 1}}),
        ("PUT", "trees/1/leaves/2/turn", 200, {"ids": ["1", "2"], "body": {"x": 1}, "expected": 7}),
        ("GET", "trees/1/leaves/ripe", 200, {"ids": ["1"], "body": None, "expected": None}),
        ("GET", "trees/1/leaves/2", 200, {"leaf": {"name": "1 2"}}),
        ("GET", "trees/1/leaves?name=b", 200, {"leaves": [{"name": "b"}]}),
        ("GET", "trees?limit=1&fields=name&name=a", 200, None),
        ("GET", "trees/1/root", 200, None),
        ("POST", "trees/1/age", 405, None),
        ("PUT", "trees/1/rings/2", 405, None),
        ("GET", "trees/1/rings/2/3", 404, None),
        ("POST", "trees", 405, None),
        ("PUT", "trees", 405, None),
        ("GET", "trees/1", 405, None),
        ("DELETE", "trees/1/leaves/2", 405, None),
        ("POST", "trees/1/leaves", 405, None),
        ("GET", "trees/1/nosuch", 404, None),
    ],
)
def test_every_shape_has_its_paths(woods: Cloud, method: str, path: str, status: int, shown: Any) -> None:
    body = None if method == "GET" else {"x": 1}
    told = call(woods, method, path, body, **{"if-match": "revision_number=7"})
    assert told.status == status, told.body
    if shown is not None:
        assert told.json == shown
    assert bool(told.body) == (status != 204)


def test_a_child_is_updated_with_the_revision_of_if_match(woods: Cloud) -> None:
    told = call(woods, "PUT", "trees/1/leaves/2", {"leaf": {"name": "x"}}, **{"if-match": "revision_number=-1"})
    assert told.json == {"leaf": {"name": "1 2 {'name': 'x'} -1"}}
    told = call(woods, "PUT", "trees/1/leaves/2", {"leaf": {}}, **{"if-match": "revision_number=--1"})
    assert told.error == (400, "BadRequest", "Bad if-match request: revision_number must be an integer.")


def test_a_list_in_hand_has_links(woods: Cloud) -> None:
    told = call(woods, "GET", "trees?limit=1").json
    assert [link["href"] for link in told["leaves_links"]] == [
        "http://cloud:9696/v2.0/trees?limit=1&marker=a",
        "http://cloud:9696/v2.0/trees?limit=1&marker=a&page_reverse=True",
    ]


def test_views_are_for_those_with_a_token(woods: Cloud) -> None:
    for method, path in (("GET", "trees/1/age"), ("POST", "trees/1/rings"), ("POST", "trees/1/age")):
        assert woods.call(method, f"/v2.0/{path}").status == 401


def test_a_view_is_announced_as_extensions_ask_for_it(cloud: Cloud) -> None:
    assert {"standard-attr-tag", "tag-ports-during-bulk-creation", "quotas", "quota_details"} <= set(EXTENSIONS)
    listed = {one["alias"] for one in call(cloud, "GET", "extensions").json["extensions"]}
    assert {"standard-attr-tag", "tag-ports-during-bulk-creation", "quotas", "quota_details"} <= listed
    assert {"quota-check-limit", "quota-check-limit-default"} <= listed


def test_tags_on_the_wire(cloud: Cloud) -> None:
    network = call(cloud, "POST", "networks", {"network": {}}).json["network"]["id"]
    assert call(cloud, "PUT", f"networks/{network}/tags", {"tags": ["b", "a"]}).json == {"tags": ["b", "a"]}
    told = call(cloud, "PUT", f"networks/{network}/tags/c.d")
    assert (told.status, told.json) == (201, None)
    assert call(cloud, "GET", f"networks/{network}/tags/a").status == 204
    assert call(cloud, "GET", f"networks/{network}/tags").json == {"tags": ["a", "b", "c.d"]}
    assert call(cloud, "GET", f"networks/{network}/tags/x").error == (404, "TagNotFound", "Tag x could not be found.")
    assert call(cloud, "DELETE", f"networks/{network}/tags").status == 204
    assert call(cloud, "PUT", f"nosuch/{network}/tags/x").status == 404
    policy = call(cloud, "POST", "qos/policies", {"policy": {}}).json["policy"]["id"]
    assert call(cloud, "PUT", f"policies/{policy}/tags/x").status == 201
    assert call(cloud, "GET", f"qos/policies/{policy}").json["policy"]["tags"] == ["x"]


def test_quotas_on_the_wire(cloud: Cloud) -> None:
    told = call(cloud, "PUT", "quotas/p", {"quota": {"network": 5}})
    assert (told.status, told.json["quota"]["network"]) == (200, 5)
    assert "project_id" not in told.json["quota"]
    assert call(cloud, "GET", "quotas/p/details.json").json["quota"]["network"] == {
        "limit": 5,
        "used": 0,
        "reserved": 0,
    }
    assert [one["project_id"] for one in call(cloud, "GET", "quotas").json["quotas"]] == ["p"]
    assert call(cloud, "DELETE", "quotas/p").status == 204
    assert call(cloud, "DELETE", "quotas/p").error[:2] == (404, "TenantQuotaNotFound")
    assert call(cloud, "POST", "quotas", {}).status == 405
