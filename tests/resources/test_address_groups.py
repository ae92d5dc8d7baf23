"""Address groups: their prefixes, and who may change them."""

from typing import Any

import pytest

from suimon.resources.registry import RESOURCES
from tests.resources.world import ADMIN, ALICE, ANN, BOB, NOBODY, World, refused, share

GROUPS = "address-groups"


def group(world: World, *addresses: str, **more: Any) -> str:
    return str(world.create(GROUPS, {"addresses": list(addresses), **more})["id"])


def act(world: World, name: str, group: str, body: object, by: Any = ALICE) -> Any:
    return world.write(lambda tx: RESOURCES[GROUPS].actions[name](tx, by, group, body), by)


def test_prefixes_lose_their_host_bits(world: World) -> None:
    made = world.create(GROUPS, name="g", addresses=["10.10.10.3/32", "192.168.0.10/24", "2001:db8::f00/64"])
    assert made["addresses"] == ["10.10.10.3/32", "192.168.0.0/24", "2001:db8::/64"]
    assert "shared" not in made
    assert world.create(GROUPS, addresses=None)["addresses"] == world.create(GROUPS)["addresses"] == []
    assert world.update(GROUPS, made["id"], {"description": "d"})["description"] == "d"
    assert world.update(GROUPS, made["id"], {})["revision_number"] == 1
    with refused("HTTPBadRequest", "Cannot update read-only attribute addresses"):
        world.update(GROUPS, made["id"], {"addresses": []})


@pytest.mark.parametrize(
    ("addresses", "words"),
    [
        (["10.20.30.40"], "'10.20.30.40' isn't a recognized IP subnet cidr, '10.20.30.40/32' is recommended."),
        (["x/y"], "'x/y' is not a valid CIDR."),
        ([7], "'7' is not a valid CIDR."),
        ("x", "'x' is not a list."),
        (["10.0.0.0/8", "10.0.0.0/8"], "Duplicate items in the list: '10.0.0.0/8'."),
        ([f"10.0.{n // 256}.{n % 256}/32" for n in range(1001)], "1000 addresses at most can be given at once."),
    ],
)
def test_impossible_groups(world: World, addresses: object, words: str) -> None:
    with refused("HTTPBadRequest", words):
        world.create(GROUPS, addresses=addresses)


def test_adding_and_removing(world: World) -> None:
    id_ = group(world, "10.0.0.0/8")
    told = act(world, "add_addresses", id_, {"addresses": ["10.20.30.40", "fd00::1", "fd00::1/128"]})
    assert told["address_group"]["addresses"] == ["10.0.0.0/8", "10.20.30.40/32", "fd00::1/128"]
    with refused("AddressesAlreadyExist", f"Addresses ['10.0.0.0/8'] already exist in the address group {id_}."):
        act(world, "add_addresses", id_, {"addresses": ["10.0.0.0/8", "11.0.0.0/8"]})
    with refused("AddressesNotFound", f"Addresses ['11.0.0.0/8'] not found in the address group {id_}."):
        act(world, "remove_addresses", id_, {"addresses": ["11.0.0.0/8", "10.0.0.0/8"]})
    told = act(world, "remove_addresses", id_, {"addresses": ["10.0.0.7/8"]})
    assert told["address_group"]["addresses"] == ["10.20.30.40/32", "fd00::1/128"]
    assert world.get(GROUPS, id_) == told["address_group"]
    for body in (None, {}, {"addresses": 7}, {"addresses": ["10.0.0.0/8"] * 1001}):
        with refused("HTTPBadRequest", "Request body contains invalid data"):
            act(world, "add_addresses", id_, body)
    with refused("HTTPBadRequest", "is not a valid CIDR."):
        act(world, "remove_addresses", id_, {"addresses": ["this is no address"]})
    with refused("HTTPBadRequest", "1000 addresses at most can be in an address group."):
        act(world, "add_addresses", id_, {"addresses": [f"10.1.{n // 256}.{n % 256}" for n in range(999)]})


def test_a_group_that_a_rule_names_stays(world: World) -> None:
    id_ = group(world)
    security = world.create("security-groups", name="s")["id"]
    body = {"security_group_id": security, "direction": "ingress", "remote_address_group_id": id_}
    rule = world.create("security-group-rules", body)["id"]
    with refused("AddressGroupInUse", f"Address group {id_} is in use on one or more security group rules."):
        world.delete(GROUPS, id_)
    world.delete("security-group-rules", rule)
    with refused("RevisionNumberConstraintFailed"):
        world.delete(GROUPS, id_, expected=3)
    with refused("RevisionNumberConstraintFailed"):
        world.update(GROUPS, id_, {"name": "x"}, expected=3)
    world.delete(GROUPS, id_)
    with refused("AddressGroupNotFound", f"Address group {id_} could not be found."):
        world.get(GROUPS, id_)


def test_a_shared_group_is_its_owners_to_change(world: World) -> None:
    id_ = group(world)
    with refused("AddressGroupNotFound"):
        world.get(GROUPS, id_, BOB)
    share(world, "address_group", id_, "blue")
    assert [one["id"] for one in world.list(GROUPS, by=BOB)] == [id_]
    body = {"addresses": ["10.0.0.0/8"]}
    for change in (
        lambda by: world.update(GROUPS, id_, {"name": "x"}, by),
        lambda by: act(world, "add_addresses", id_, body, by),
        lambda by: act(world, "remove_addresses", id_, body, by),
        lambda by: world.delete(GROUPS, id_, by),
    ):
        with refused("AddressGroupNotFound"):
            change(BOB)
        with refused("PolicyNotAuthorized"):
            change(ANN)
    with refused("AddressGroupNotFound"):
        act(world, "add_addresses", NOBODY, body, ADMIN)
    world.delete(GROUPS, id_, ADMIN)
    assert world.list("rbac-policies", by=ADMIN) == []
