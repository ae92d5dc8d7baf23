"""Lists: filters, order, pages."""

from typing import Any

import pytest

from suimon.resources.registry import RESOURCES
from tests.resources.world import ADMIN, ALICE, BOB, NOBODY, World, refused


@pytest.fixture
def network(world: World) -> str:
    network = world.network(name="n")
    world.subnet(network)
    for name in ("b", "A", "c", "a", ""):
        world.port(network, name=name, description="d" if name else "")
    return network


def names(found: list[dict[str, Any]]) -> list[Any]:
    return [one["name"] for one in found]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("name=a&name=b", {"a", "b"}),
        ("name=a&description=x", set()),
        ("name=", {""}),
        ("fixed_ips=ip_address=10.0.0.2", {"b"}),
        ("fixed_ips=ip_address=10.0.0.2&fixed_ips=ip_address=10.0.0.3", {"b", "A"}),
        ("fixed_ips=ip_address_substr=0.0.4", {"c"}),
        ("fixed_ips=ip_address_substr=0?0.4", set()),
        ("fixed_ips=subnet_id=" + NOBODY, set()),
        ("fixed_ips=subnet_id=SUBNET&fixed_ips=ip_address=10.0.0.5", {"a"}),
        ("security_groups=GROUP&name=c", {"c"}),
        ("security_groups=" + NOBODY, set()),
        ("admin_state_up=1&status=DOWN&name=a", {"a"}),
        ("admin_state_up=false", set()),
        ("revision_number=0&name=a", {"a"}),
        ("tenant_id=red&name=a", {"a"}),
        ("mac_address=02:00:00:00:00:77", set()),
        ("changed_since=2020-01-01T00:00:00Z&name=a", {"a"}),
        ("changed_since=2020-01-01T00:00:00&name=a", {"a"}),
        ("changed_since=2999-01-01T00:00:00Z", set()),
    ],
)
def test_filters(world: World, network: str, query: str, found: set[str]) -> None:
    query = query.replace("SUBNET", world.list("subnets")[0]["id"])
    query = query.replace("GROUP", world.list("security-groups")[0]["id"])
    assert set(names(world.list("ports", query))) == found


def test_a_constant_can_be_filtered_when_it_says_so(world: World, network: str) -> None:
    with refused("HTTPBadRequest", "['status'] is invalid attribute for filtering"):
        world.list("networks", "status=ACTIVE")


@pytest.mark.parametrize(
    ("query", "kind", "words"),
    [
        ("nosuch=1", "HTTPBadRequest", "['nosuch'] is invalid attribute for filtering"),
        ("changed_since=junk", "InvalidInput", "must be in the following format: YYYY-MM-DDTHH:MM:SSZ."),
        ("changed_since=0001-01-01T00:00:00%2B23:00", "InvalidInput", "must be in the following format"),
        ("admin_state_up=junk", "InvalidInput", "Invalid input for operation: 'junk' cannot be converted to boolean."),
        ("fixed_ips=junk=1", "HTTPBadRequest", "fixed_ips"),
        ("sort_key=name", "HTTPBadRequest", "The number of sort_keys and sort_dirs must be same"),
        (
            "sort_key=name&sort_dir=up",
            "HTTPBadRequest",
            "['up'] is invalid value for sort_dirs, valid value is 'asc' and",
        ),
        ("sort_key=nosuch&sort_dir=asc", "HTTPBadRequest", "['nosuch'] is invalid attribute for sort keys"),
        ("limit=-1", "BadRequest", "Bad limit request: Limit must be an integer 0 or greater and not '-1'."),
        ("limit=x", "BadRequest", "and not 'x'."),
        ("page_reverse=x", "InvalidInput", ""),
        (f"limit=1&marker={NOBODY}", "PortNotFound", f"Port {NOBODY} could not be found."),
    ],
)
def test_impossible_questions(world: World, query: str, kind: str, words: str) -> None:
    with refused(kind, words):
        world.list("ports", query)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("ports", "binding:host_id=h"),
        ("ports", "sort_key=binding:host_id&sort_dir=asc"),
        ("networks", "sort_key=provider:segmentation_id&sort_dir=asc"),
    ],
)
def test_nobody_asks_by_what_he_may_not_see(world: World, network: str, path: str, query: str) -> None:
    with refused("PolicyNotAuthorized", "is disallowed by policy"):
        world.list(path, query)
    world.list(path, query, ADMIN)


def test_names_sort_as_people_read_them(world: World, network: str) -> None:
    up = names(world.list("ports", "sort_key=name&sort_dir=asc"))
    assert [name.lower() for name in up] == ["", "a", "a", "b", "c"]
    assert [name.lower() for name in names(world.list("ports", "sort_key=name&sort_dir=desc"))] == [
        "c",
        "b",
        "a",
        "a",
        "",
    ]


@pytest.mark.parametrize(
    "order", ["", "sort_key=name&sort_dir=asc&", "sort_key=description&sort_dir=desc&sort_key=name&sort_dir=asc&"]
)
def test_pages_forwards_and_backwards_give_everything_once(world: World, network: str, order: str) -> None:
    everything = [one["id"] for one in world.list("ports", order)]
    forwards: list[str] = []
    while page := world.list("ports", f"{order}limit=2" + (f"&marker={forwards[-1]}" if forwards else "")):
        forwards += [one["id"] for one in page]
    backwards: list[str] = []
    while page := world.list(
        "ports", f"{order}limit=2&page_reverse=True" + (f"&marker={backwards[0]}" if backwards else "")
    ):
        backwards = [one["id"] for one in page] + backwards
    assert forwards == backwards == everything


def test_sorting_by_what_may_be_null(world: World, network: str) -> None:
    world.subnet(network, "10.1.0.0/24", gateway_ip=None)
    everything = [one["id"] for one in world.list("subnets", "sort_key=gateway_ip&sort_dir=asc")]
    first = world.list("subnets", "sort_key=gateway_ip&sort_dir=asc&limit=1")[0]
    rest = world.list("subnets", f"sort_key=gateway_ip&sort_dir=asc&limit=1&marker={first['id']}")
    assert [first["gateway_ip"], rest[0]["gateway_ip"]] == [None, "10.0.0.1"]
    assert [first["id"], rest[0]["id"]] == everything
    numbers = world.list("networks", "sort_key=provider:segmentation_id&sort_dir=desc&limit=1", ADMIN)
    assert len(numbers) == 1


def test_a_strangers_marker_is_not_found(world: World, network: str) -> None:
    port = world.list("ports", by=ALICE)[0]["id"]
    with refused("PortNotFound"):
        world.list("ports", f"marker={port}", BOB)


@pytest.mark.parametrize("path", [path for path, kind in RESOURCES.items() if kind.list])
def test_listing_costs_the_same_for_one_and_for_many(world: World, network: str, path: str) -> None:
    if path == "qos/policies":
        for _ in range(3):
            world.create(path, by=ADMIN)
    heard: list[str] = []
    world.list(path, by=ADMIN)
    world.store.trace(heard.append)
    world.list(path, by=ADMIN)
    assert len(heard) <= 9
