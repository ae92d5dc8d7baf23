"""Lists as they go out: the same that is shown of each thing, and cheap."""

import json
from typing import Any

import msgspec
import pytest

from suimon.model.actor import Actor
from suimon.model.query import parse_query
from suimon.resources.registry import RESOURCES
from tests.resources.world import ADMIN, ALICE, ANN, BOB, World

NOVA = Actor("nova", "services", frozenset({"admin", "service"}))
PATHS = [path for path, kind in RESOURCES.items() if kind.listed]


@pytest.fixture
def full(world: World) -> World:
    """Some of everything that is easily made, odd values included."""
    shared = world.network(ADMIN, project_id="red", shared=True, name='ü"\n')
    outside = world.outside()
    subnet = world.subnet(shared, dns_nameservers=["9.9.9.9"], gateway_ip=None)
    world.subnet(shared, "fd00::/64", ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
    world.port(shared, BOB)
    world.host("hv1")
    pairs = [{"ip_address": "1.1.1.1"}]
    bound = {"binding:host_id": "hv1", "binding:profile": {"a": [1, {"b": None}]}}
    world.port(shared, NOVA, tags=["b", "a"], allowed_address_pairs=pairs, project_id="red", **bound)
    world.port(world.network(port_security_enabled=False), fixed_ips=[], description="d")
    world.create("security-group-rules", security_group_id=world.list("security-groups")[0]["id"], direction="ingress")
    router = world.router(external_gateway_info={"network_id": outside})
    world.act(router, "add_router_interface", {"subnet_id": world.subnet(world.network(), "10.7.0.0/24")})
    world.create("floatingips", floating_network_id=outside)
    assert subnet
    return world


def rendered(world: World, path: str, text: str, by: Actor) -> list[Any]:
    kind = RESOURCES[path]
    assert kind.list is not None
    query = parse_query(kind.spec, [part.split("=") for part in text.split("&") if part])  # type: ignore[misc]
    shown = world.read(lambda tx: kind.list(tx, by, query))  # type: ignore[misc]
    return [json.loads(msgspec.json.encode(kind.spec.render(one, by, query.fields))) for one in shown]


def listed(world: World, path: str, text: str, by: Actor) -> list[Any]:
    kind = RESOURCES[path]
    assert kind.listed is not None
    query = parse_query(kind.spec, [part.split("=") for part in text.split("&") if part])  # type: ignore[misc]
    page = world.read(lambda tx: kind.listed(tx, by, query))  # type: ignore[misc]
    items: list[Any] = json.loads(msgspec.json.encode(page.items))
    assert len(items) == len(page.ids)
    if items and "id" in items[0]:
        assert [item["id"] for item in items] == list(page.ids)
    return items


@pytest.mark.parametrize("path", PATHS)
def test_a_list_shows_what_is_shown_of_each(full: World, path: str) -> None:
    names = [attribute.name for attribute in RESOURCES[path].spec.attributes]
    for by in (ADMIN, ALICE, ANN, BOB):
        for text in ("", "limit=1", "limit=1&page_reverse=True", "fields=nosuch", "fields=tenant_id&fields=id"):
            assert listed(full, path, text, by) == rendered(full, path, text, by), (by.user_id, text)
        for name in names:
            text = f"fields={name}"
            assert listed(full, path, text, by) == rendered(full, path, text, by), (by.user_id, text)


def test_some_of_everything_is_there(full: World) -> None:
    for path in ("networks", "subnets", "ports", "security-groups", "security-group-rules", "routers", "floatingips"):
        assert listed(full, path, "", ADMIN), path


def test_a_stranger_sees_not_what_the_owner_sees(full: World) -> None:
    """One list may have things of several projects, and rules hide by project."""
    hidden = {"binding:host_id", "binding:profile"}
    assert all(hidden <= set(port) for port in listed(full, "ports", "", ADMIN))
    assert all(not hidden & set(port) for port in listed(full, "ports", "", ALICE))


def test_only_what_is_asked_for_is_read(full: World) -> None:
    heard: list[str] = []
    full.store.trace(heard.append)
    listed(full, "ports", "fields=id&fields=status", ADMIN)
    (statement,) = [one for one in heard if one.startswith("SELECT")]
    assert "mac_address" not in statement
    assert statement.count("SELECT") == 1
