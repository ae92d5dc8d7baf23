"""Who may do what with networks' and subnets' further attributes, pools, scopes and address groups: for each rule
somebody whom it refuses, and somebody whom it lets.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from suimon.model.actor import Actor
from suimon.resources.registry import RESOURCES
from tests.resources.world import ADMIN, ALICE, ANN, World, refused


class Things(NamedTuple):
    world: World
    network: str
    vlan: str
    subnet: str
    segment: str
    pool: str
    scope: str
    group: str


@pytest.fixture
def things(world: World) -> Things:
    network = world.network()
    vlan = {"provider:network_type": "vlan", "project_id": "red"}
    (segment,) = world.list("segments", f"network_id={network}", ADMIN)
    return Things(
        world,
        network,
        world.network(ADMIN, **vlan),
        world.subnet(network),
        segment["id"],
        world.create("subnetpools", name="p", prefixes=["10.8.0.0/16"])["id"],
        world.create("address-scopes", ip_version=4)["id"],
        world.create("address-groups", addresses=["10.0.0.0/8"])["id"],
    )


Act = Callable[[Things, Actor], Any]
POOL = {"name": "q", "prefixes": ["10.9.0.0/16"]}


def act(path: str, name: str, thing: str, body: object) -> Act:
    return lambda t, by: t.world.write(lambda tx: RESOURCES[path].actions[name](tx, by, getattr(t, thing), body), by)


def create(path: str, **body: Any) -> Act:
    return lambda t, by: t.world.create(path, body, by=by)


def update(path: str, thing: str, body: dict[str, Any]) -> Act:
    return lambda t, by: t.world.update(path, getattr(t, thing), body, by)


def delete(path: str, thing: str) -> Act:
    return lambda t, by: t.world.delete(path, getattr(t, thing), by)


BODY = {"ip_version": 4, "cidr": "10.7.0.0/24"}
PREFIXES = {"prefixes": ["10.10.0.0/16"]}
CASES: dict[str, tuple[Act, Actor, Actor]] = {
    # rule: (what is done, whom it refuses, whom it lets)
    "create_network:is_default": (create("networks", is_default=True), ALICE, ADMIN),
    "update_network:is_default": (update("networks", "network", {"is_default": True}), ALICE, ADMIN),
    "update_network:provider:network_type": (
        update("networks", "vlan", {"provider:network_type": "vlan"}),
        ALICE,
        ADMIN,
    ),
    "update_network:provider:physical_network": (
        update("networks", "vlan", {"provider:physical_network": "physnet1"}),
        ALICE,
        ADMIN,
    ),
    "update_network:provider:segmentation_id": (
        update("networks", "vlan", {"provider:segmentation_id": 11}),
        ALICE,
        ADMIN,
    ),
    "create_subnet:segment_id": (
        lambda t, by: t.world.create("subnets", {**BODY, "network_id": t.network, "segment_id": t.segment}, by=by),
        ALICE,
        None,  # type: ignore[dict-item]
    ),
    "update_subnet:segment_id": (
        lambda t, by: t.world.update("subnets", t.subnet, {"segment_id": t.segment}, by),
        ALICE,
        ADMIN,
    ),
    "create_subnetpool": (create("subnetpools", **POOL), ANN, ALICE),
    "create_subnetpool:shared": (create("subnetpools", **POOL, shared=True), ALICE, ADMIN),
    "create_subnetpool:is_default": (create("subnetpools", **POOL, is_default=True), ALICE, ADMIN),
    "update_subnetpool": (update("subnetpools", "pool", {"name": "x"}), ANN, ALICE),
    "update_subnetpool:is_default": (update("subnetpools", "pool", {"is_default": True}), ALICE, ADMIN),
    "delete_subnetpool": (delete("subnetpools", "pool"), ANN, ALICE),
    "add_prefixes": (act("subnetpools", "add_prefixes", "pool", PREFIXES), ANN, ALICE),
    "remove_prefixes": (act("subnetpools", "remove_prefixes", "pool", PREFIXES), ANN, ALICE),
    "onboard_network_subnets": (
        lambda t, by: t.world.view(
            "subnetpools", "PUT {}/onboard_network_subnets", t.pool, body={"network_id": t.network}, by=by
        ),
        ANN,
        ALICE,
    ),
    "create_address_scope": (create("address-scopes", ip_version=4), ANN, ALICE),
    "create_address_scope:shared": (create("address-scopes", ip_version=4, shared=True), ALICE, ADMIN),
    "update_address_scope": (update("address-scopes", "scope", {"name": "x"}), ANN, ALICE),
    "update_address_scope:shared": (update("address-scopes", "scope", {"shared": True}), ALICE, ADMIN),
    "delete_address_scope": (delete("address-scopes", "scope"), ANN, ALICE),
    "create_address_group": (create("address-groups"), ANN, ALICE),
    "update_address_group": (update("address-groups", "group", {"name": "x"}), ANN, ALICE),
    "delete_address_group": (delete("address-groups", "group"), ANN, ALICE),
    "add_addresses": (act("address-groups", "add_addresses", "group", {"addresses": ["11.0.0.0/8"]}), ANN, ALICE),
    "remove_addresses": (
        act("address-groups", "remove_addresses", "group", {"addresses": ["10.0.0.0/8"]}),
        ANN,
        ALICE,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_rule_refuses_and_lets(things: Things, name: str) -> None:
    does, refused_one, let = CASES[name]
    with refused("PolicyNotAuthorized", f"rule:{name} is disallowed by policy"):
        does(things, refused_one)
    if let is not None:
        does(things, let)


def test_the_segment_of_a_subnet_is_the_operators_to_see(things: Things) -> None:
    assert "segment_id" in things.world.get("subnets", things.subnet, ADMIN)
    assert "segment_id" not in things.world.get("subnets", things.subnet)
