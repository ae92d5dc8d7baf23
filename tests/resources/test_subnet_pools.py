"""Subnet pools: prefixes, bounds, cutting subnets from them, address scopes."""

from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suimon.model.ranges import outside
from suimon.resources.registry import RESOURCES
from tests.resources.world import ADMIN, ALICE, BOB, NOBODY, World, refused, share

POOLS = "subnetpools"
V6 = {"prefixes": ["2001:db8::/48"], "default_prefixlen": 64}
RANGES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda pair: (min(pair), max(pair))))


def pool(world: World, *prefixes: str, by: Any = ALICE, **more: Any) -> str:
    told = {"name": "p", "prefixes": list(prefixes) or ["10.8.0.0/16"], **more}
    return str(world.create(POOLS, told, by=by)["id"])


def cut(world: World, network: str, **more: Any) -> dict[str, Any]:
    return world.create("subnets", {"network_id": network, "ip_version": 4, **more})


def scope(world: World, by: Any = ALICE, ip_version: int = 4, **more: Any) -> str:
    return str(world.create("address-scopes", ip_version=ip_version, by=by, **more)["id"])


def act(world: World, name: str, pool: str, body: object, by: Any = ALICE) -> Any:
    return world.write(lambda tx: RESOURCES[POOLS].actions[name](tx, by, pool, body), by)


@given(RANGES, RANGES)
@settings(deadline=None)
def test_outside_is_what_sets_say(ranges: list[tuple[int, int]], holes: list[tuple[int, int]]) -> None:
    def numbers(some: list[tuple[int, int]]) -> set[int]:
        return {number for first, last in some for number in range(first, last + 1)}

    found = outside(ranges, holes)
    assert numbers(found) == numbers(ranges) - numbers(holes)
    assert found == sorted(found)
    assert sum(last - first + 1 for first, last in found) == len(numbers(found))


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (
            {"prefixes": ["10.81.0.0/16", "10.80.0.5/16"], "default_prefixlen": "24"},
            {
                "prefixes": ["10.80.0.0/15"],
                "ip_version": 4,
                "min_prefixlen": "8",
                "max_prefixlen": "32",
                "default_prefixlen": "24",
                "default_quota": None,
                "address_scope_id": None,
                "is_default": False,
                "shared": False,
                "tags": [],
            },
        ),
        (
            {"prefixes": ["2001:db8::/48", "2001:db8::/32"]},
            {"prefixes": ["2001:db8::/32"], "ip_version": 6, "min_prefixlen": "64", "default_prefixlen": "64"},
        ),
        ({"prefixes": ["10.0.0.0/24", "10.0.2.0/24"]}, {"prefixes": ["10.0.0.0/24", "10.0.2.0/24"]}),
    ],
)
def test_defaults(world: World, given: dict[str, Any], shown: dict[str, Any]) -> None:
    made = world.create(POOLS, {"name": "p", **given})
    assert {name: made[name] for name in shown} == shown
    assert world.get(POOLS, made["id"]) == made


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"prefixes": []}, "EmptySubnetPoolPrefixList", "Empty subnet pool prefix list."),
        ({"prefixes": ["10.0.0.0/8", "fd00::/48"]}, "PrefixVersionMismatch", "Cannot mix IPv4 and IPv6 prefixes"),
        ({"prefixes": "x"}, "HTTPBadRequest", "'x' is not a list"),
        ({"prefixes": ["10.0.0.0"]}, "HTTPBadRequest", "'10.0.0.0' is not a valid CIDR."),
        ({"prefixes": ["10.0.0.0/8"] * 1001}, "HTTPBadRequest", "1000 prefixes at most"),
        ({"name": " "}, "HTTPBadRequest", "' ' Blank strings are not permitted"),
        ({"min_prefixlen": 25, "max_prefixlen": 24}, "IllegalSubnetPoolPrefixBounds", "=25, max_prefixlen=24."),
        ({"max_prefixlen": 33}, "IllegalSubnetPoolPrefixBounds", "max_prefixlen=33, ip_version_max=32."),
        ({"default_prefixlen": 7}, "IllegalSubnetPoolPrefixBounds", "default_prefixlen=7, min_prefixlen=8."),
        ({"max_prefixlen": 24, "default_prefixlen": 25}, "IllegalSubnetPoolPrefixBounds", "max_prefixlen=24."),
        ({"default_quota": -1}, "HTTPBadRequest", "'-1' should be non-negative."),
        ({"address_scope_id": NOBODY}, "AddressScopeNotFound", f"Address scope {NOBODY} could not be found."),
        ({"address_scope_id": "x"}, "HTTPBadRequest", "'x' is not a valid UUID."),
        ({"shared": True}, "PolicyNotAuthorized", "create_subnetpool:shared"),
        ({"is_default": True}, "PolicyNotAuthorized", "create_subnetpool:is_default"),
    ],
)  # fmt: skip
def test_impossible_pools(world: World, given: dict[str, Any], kind: str, words: str) -> None:
    with refused(kind, words):
        world.create(POOLS, {"name": "p", "prefixes": ["10.8.0.0/16"], **given})
    assert world.list(POOLS) == []


def test_update(world: World) -> None:
    id_ = pool(world, min_prefixlen=20)
    with refused("IllegalSubnetPoolPrefixUpdate", "Existing prefixes must be a subset of the new prefixes."):
        world.update(POOLS, id_, {"prefixes": ["10.8.0.0/17"]})
    with refused("PrefixVersionMismatch"):
        world.update(POOLS, id_, {"prefixes": ["fd00::/48"]})
    with refused("IllegalSubnetPoolPrefixBounds", "default_prefixlen=20, min_prefixlen=21."):
        world.update(POOLS, id_, {"min_prefixlen": 21})
    with refused("HTTPBadRequest", "Cannot update read-only attribute shared"):
        world.update(POOLS, id_, {"shared": True})
    with refused("RevisionNumberConstraintFailed"):
        world.update(POOLS, id_, {"name": "q"}, expected=7)
    changed = world.update(POOLS, id_, {"prefixes": ["10.8.0.0/15"], "min_prefixlen": "16", "name": "q"})
    assert (changed["prefixes"], changed["min_prefixlen"], changed["name"]) == (["10.8.0.0/15"], "16", "q")
    assert (changed["revision_number"], world.update(POOLS, id_, {})["revision_number"]) == (1, 1)


def test_one_default_of_each_version(world: World) -> None:
    first = pool(world, by=ADMIN, is_default=True, shared=True, default_prefixlen=24)
    pool(world, by=ADMIN, is_default=True, **V6)
    other = pool(world, by=ADMIN)
    for refuse in (lambda: pool(world, by=ADMIN, is_default=True),
                   lambda: world.update(POOLS, other, {"is_default": True}, ADMIN)):  # fmt: skip
        with refused("InvalidInput", "A default subnetpool for this IP family has already been set."):
            refuse()
    assert world.update(POOLS, first, {"is_default": True}, ADMIN)["is_default"] is True
    network = world.network()
    assert cut(world, network, use_default_subnetpool=True)["subnetpool_id"] == first
    with refused("BadRequest", "subnetpool_id and use_default_subnetpool cannot both be specified."):
        cut(world, network, use_default_subnetpool=True, subnetpool_id=first)
    world.update(POOLS, first, {"is_default": False}, ADMIN)
    with refused("BadRequest", "Bad subnets request: No default subnetpool found for IPv4."):
        cut(world, network, use_default_subnetpool=True)


def test_subnets_are_cut_where_they_leave_large_pieces_whole(world: World) -> None:
    id_ = pool(world, "10.8.0.0/24", default_prefixlen=26)
    networks = [world.network() for _ in range(6)]
    got = [
        cut(world, networks[0], subnetpool_id=id_)["cidr"],
        cut(world, networks[1], subnetpool_id=id_, prefixlen=28)["cidr"],
        cut(world, networks[2], subnetpool_id=id_, prefixlen="25")["cidr"],
        cut(world, networks[3], subnetpool_id=id_, prefixlen=28)["cidr"],
        cut(world, networks[4], subnetpool_id=id_, cidr="10.8.0.96/27")["cidr"],
    ]
    assert got == ["10.8.0.0/26", "10.8.0.64/28", "10.8.0.128/25", "10.8.0.80/28", "10.8.0.96/27"]
    with refused("SubnetAllocationError", "Insufficient prefix space to allocate subnet size /28."):
        cut(world, networks[5], subnetpool_id=id_, prefixlen=28)
    with refused("SubnetAllocationError", "Cannot allocate requested subnet from the available set of prefixes."):
        cut(world, networks[5], subnetpool_id=id_, cidr="10.8.0.0/28")
    with refused("SubnetPoolDeleteError", "Unable to delete subnet pool: Subnet pool has existing allocations."):
        world.delete(POOLS, id_)
    world.delete("subnets", world.get("networks", networks[0])["subnets"][0])
    assert cut(world, networks[5], subnetpool_id=id_)["cidr"] == "10.8.0.0/26"
    for network in networks:
        world.delete("networks", network)
    world.delete(POOLS, id_)
    with refused("SubnetPoolNotFound", f"Subnet pool {id_} could not be found."):
        world.get(POOLS, id_)


def test_a_pool_is_cut_up_wholly(world: World) -> None:
    id_ = pool(world, "10.8.0.0/27", "10.9.0.0/28", default_prefixlen=30)
    cidrs = [ip_network(cut(world, world.network(), subnetpool_id=id_)["cidr"]) for _ in range(12)]
    assert not [pair for n, one in enumerate(cidrs) for pair in cidrs[n + 1 :] if one.overlaps(pair)]
    with refused("SubnetAllocationError"):
        cut(world, world.network(), subnetpool_id=id_)


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"prefixlen": 23}, "MinPrefixSubnetAllocationError", "length 23, minimum allowed prefix is 24."),
        ({"prefixlen": 29}, "MaxPrefixSubnetAllocationError", "length 29, maximum allowed prefix is 28."),
        ({"cidr": "10.8.0.0/29"}, "MaxPrefixSubnetAllocationError", "length 29"),
        ({"cidr": "10.9.0.0/24"}, "SubnetAllocationError", "Cannot allocate requested subnet"),
        ({"cidr": "10.8.0.0/24", "prefixlen": 24}, "BadRequest", "cidr and prefixlen must not be supplied together."),
        ({"ip_version": 6}, "BadRequest", "Cannot allocate IPv6 subnet from IPv4 subnet pool."),
        (
            {"allocation_pools": [{"start": "10.8.0.2", "end": "10.8.0.9"}]},
            "BadRequest",
            "allocation_pools allowed only for specific subnet requests.",
        ),
        ({"subnetpool_id": NOBODY}, "SubnetPoolNotFound", f"Subnet pool {NOBODY} could not be found."),
        ({"subnetpool_id": None}, "BadRequest", "a subnetpool must be specified in the absence of a cidr."),
    ],
)
def test_impossible_cuts(world: World, given: dict[str, Any], kind: str, words: str) -> None:
    id_ = pool(world, min_prefixlen=24, max_prefixlen=28)
    with refused(kind, words):
        cut(world, world.network(), **{"subnetpool_id": id_, **given})


def test_the_gateway_says_where(world: World) -> None:
    id_ = pool(world, default_prefixlen=24)
    made = cut(world, world.network(), subnetpool_id=id_, gateway_ip="10.8.7.9", cidr=None)
    assert (made["cidr"], made["gateway_ip"]) == ("10.8.7.0/24", "10.8.7.9")


def test_the_quota_is_each_projects(world: World) -> None:
    id_ = pool(world, default_quota=24, default_prefixlen=28, by=ADMIN, shared=True)
    cut(world, world.network(), subnetpool_id=id_)
    with refused("SubnetPoolQuotaExceeded", "Per-project subnet pool prefix quota exceeded."):
        cut(world, world.network(), subnetpool_id=id_)
    assert cut(world, world.network(), subnetpool_id=id_, prefixlen=29)["cidr"] == "10.8.0.16/29"
    bobs = {"network_id": world.network(BOB), "ip_version": 4, "subnetpool_id": id_}
    assert world.create("subnets", bobs, by=BOB)["cidr"] == "10.8.0.32/28"
    six = pool(world, default_quota=1, **V6)
    body = {"network_id": world.network(), "ip_version": 6, "subnetpool_id": six}
    assert world.create("subnets", body)["cidr"] == "2001:db8::/64"
    with refused("SubnetPoolQuotaExceeded"):
        world.create("subnets", {**body, "network_id": world.network()})


def test_the_subnets_of_a_network_are_from_one_pool(world: World) -> None:
    first, second = pool(world, default_prefixlen=24), pool(world, "10.9.0.0/16", default_prefixlen=24)
    network = world.network()
    cut(world, network, subnetpool_id=first)
    cut(world, network, subnetpool_id=first)
    for body in ({"subnetpool_id": second}, {"cidr": "10.77.0.0/24"}):
        with refused("NetworkSubnetPoolAffinityError", "must be allocated from the same subnet pool."):
            cut(world, network, **body)
    world.subnet(network, "fd00::/64")
    plain = world.network()
    world.subnet(plain)
    with refused("NetworkSubnetPoolAffinityError"):
        cut(world, plain, subnetpool_id=first)


def test_prefixes_come_and_go(world: World) -> None:
    id_ = pool(world, "10.8.0.0/24")
    assert act(world, "add_prefixes", id_, {"prefixes": ["10.8.1.0/24", "10.9.0.0/24"]}) == {
        "prefixes": ["10.8.0.0/23", "10.9.0.0/24"]
    }
    cut(world, world.network(), subnetpool_id=id_, cidr="10.8.0.0/26")
    with refused("IllegalSubnetPoolPrefixUpdate", "One or more the prefixes to be removed is in use by a subnet."):
        act(world, "remove_prefixes", id_, {"prefixes": ["10.8.0.0/25"]})
    assert act(world, "remove_prefixes", id_, {"prefixes": ["10.8.0.128/25", "10.9.0.0/16", "fd00::/8"]}) == {
        "prefixes": ["10.8.0.0/25", "10.8.1.0/24"]
    }
    assert (
        act(world, "remove_prefixes", id_, {"prefixes": ["172.16.0.0/12"]})["prefixes"]
        == world.get(POOLS, id_)["prefixes"]
    )
    revision = world.get(POOLS, id_)["revision_number"]
    for body in (None, {}, {"prefixes": []}, {"prefixes": "x"}, {"prefixes": ["10.0.0.0/8"] * 1001}):
        with refused("HTTPBadRequest", "Request body contains invalid data"):
            act(world, "add_prefixes", id_, body)
    with refused("HTTPBadRequest", "'x' is not a valid CIDR."):
        act(world, "add_prefixes", id_, {"prefixes": ["x"]})
    with refused("PrefixVersionMismatch"):
        act(world, "add_prefixes", id_, {"prefixes": ["fd00::/48"]})
    lonely = pool(world, "10.50.0.0/24")
    with refused("EmptySubnetPoolPrefixList"):
        act(world, "remove_prefixes", lonely, {"prefixes": ["10.50.0.0/16"]})
    many = pool(world, "10.60.0.0/16")
    with refused("IllegalSubnetPoolPrefixUpdate", "1000 prefixes at most can be in a subnet pool."):
        for third in range(0, 16, 2):
            holes = [f"10.60.{n}.{m}/32" for n in range(16 * third, 16 * third + 16) for m in range(1, 255, 4)][:1000]
            act(world, "remove_prefixes", many, {"prefixes": holes})
    assert world.get(POOLS, id_)["revision_number"] == revision


def test_onboarding(world: World) -> None:
    id_, network = pool(world, "10.8.0.0/24"), world.network()
    subnets = [world.subnet(network, cidr) for cidr in ("10.8.1.0/24", "10.20.0.0/24", "fd00::/64")]

    def onboard(body: object, by: Any = ALICE) -> Any:
        return world.view(POOLS, "PUT {}/onboard_network_subnets", id_, body=body, by=by)

    for body in (None, {}, {"network_id": 7}):
        with refused("InvalidInput", "network_id must be specified."):
            onboard(body)
    with refused("NetworkNotFound"):
        onboard({"network_id": NOBODY})
    with refused("PolicyNotAuthorized", "onboard_network_subnets"):
        onboard({"network_id": world.network(ADMIN, shared=True)})
    told = onboard({"network_id": network})
    assert {(one["id"], one["cidr"]) for one in told} == {(subnets[0], "10.8.1.0/24"), (subnets[1], "10.20.0.0/24")}
    assert world.get(POOLS, id_)["prefixes"] == ["10.8.0.0/23", "10.20.0.0/24"]
    assert [world.get("subnets", subnet)["subnetpool_id"] for subnet in subnets] == [id_, id_, None]
    with refused("IllegalSubnetPoolUpdate", "conflicts with allocated prefixes in subnet pool"):
        onboard({"network_id": network})
    assert onboard({"network_id": world.network()}) == []


def test_scopes(world: World) -> None:
    mine, six = scope(world), scope(world, ip_version=6)
    network = world.network()
    id_ = pool(world, address_scope_id=mine, default_prefixlen=24)
    cut(world, network, subnetpool_id=id_)
    seen = world.get("networks", network)
    assert (seen["ipv4_address_scope"], seen["ipv6_address_scope"]) == (mine, None)
    with refused("AddressScopePrefixConflict", "subnetpools within an address scope must have unique prefixes."):
        pool(world, "10.0.0.0/8", address_scope_id=mine)
    beside = pool(world, "10.9.0.0/16", address_scope_id=mine, default_prefixlen=24)
    with refused("AddressScopePrefixConflict"):
        world.update(POOLS, beside, {"prefixes": ["10.8.0.0/15"]})
    with refused("IllegalSubnetPoolIpVersionAssociationToAddressScope", "subnetpool ip_version is not 6."):
        world.update(POOLS, id_, {"address_scope_id": six})
    cut(world, network, subnetpool_id=beside)
    other = pool(world, "10.10.0.0/16", default_prefixlen=24)
    with refused("NetworkAddressScopeAffinityError", "must all participate in the same address scope."):
        cut(world, network, subnetpool_id=other)
    with refused("NetworkAddressScopeAffinityError"):
        world.update(POOLS, beside, {"address_scope_id": scope(world)})
    with refused("AddressScopeInUse", f"address scope {mine}. There are one or more subnet pools in use"):
        world.delete("address-scopes", mine)
    assert world.update(POOLS, beside, {"address_scope_id": None})["address_scope_id"] is None


def test_scopes_of_others(world: World) -> None:
    theirs = scope(world, ADMIN)
    id_ = pool(world)
    with refused("AddressScopeNotFound"):
        world.update(POOLS, id_, {"address_scope_id": theirs})
    share(world, "address_scope", theirs, "red")
    assert world.update(POOLS, id_, {"address_scope_id": theirs})["address_scope_id"] == theirs
    with refused("IllegalSubnetPoolUpdate", f"cannot be updated when associated with shared address scope {theirs}."):
        world.update(POOLS, id_, {"name": "x"})
    assert world.update(POOLS, id_, {"name": "x"}, ADMIN)["name"] == "x"


def test_what_a_scope_is(world: World) -> None:
    made = world.create("address-scopes", name="s", ip_version="4")
    assert made == {
        "id": made["id"], "name": "s", "ip_version": 4, "shared": False, "project_id": "red", "tenant_id": "red"
    }  # fmt: skip
    with refused("HTTPBadRequest", "5 is not in valid_values."):
        scope(world, ip_version=5)
    with refused("AddressScopeNotFound"):
        world.get("address-scopes", made["id"], BOB)
    shared = world.update("address-scopes", made["id"], {"shared": True, "name": "t"}, ADMIN)
    assert (shared["shared"], shared["name"], world.get("address-scopes", made["id"], BOB)["shared"]) == (
        True,
        "t",
        True,
    )
    assert [one["id"] for one in world.list("address-scopes", "shared=true", BOB)] == [made["id"]]
    assert world.update("address-scopes", made["id"], {}, ADMIN)["name"] == "t"
    with refused("AddressScopeUpdateError", "Shared address scope can't be unshared."):
        world.update("address-scopes", made["id"], {"shared": False}, ADMIN)
    assert world.update("address-scopes", scope(world), {"shared": False}, ADMIN)["shared"] is False
    for refuse in (lambda: world.update("address-scopes", made["id"], {"name": "x"}, expected=9),
                   lambda: world.delete("address-scopes", made["id"], expected=9)):  # fmt: skip
        with refused("RevisionNumberConstraintFailed"):
            refuse()
    world.delete("address-scopes", made["id"])
    assert world.list("rbac-policies", by=ADMIN) == []
    assert scope(world, ADMIN, shared=True) in [one["id"] for one in world.list("address-scopes")]


def test_pools_of_others(world: World) -> None:
    id_ = pool(world, by=ADMIN)
    with refused("SubnetPoolNotFound"):
        cut(world, world.network(), subnetpool_id=id_)
    shared = pool(world, by=ADMIN, shared=True)
    assert [one["id"] for one in world.list(POOLS, "shared=true")] == [shared]
    with refused("PolicyNotAuthorized", "update_subnetpool"):
        world.update(POOLS, shared, {"name": "x"})
    with refused("RevisionNumberConstraintFailed"):
        world.delete(POOLS, shared, ADMIN, 7)
    world.delete(POOLS, shared, ADMIN)
    assert world.list("rbac-policies", by=ADMIN) == []
