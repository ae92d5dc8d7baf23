"""Who may do what with routers and floating IPs: for each rule somebody whom it refuses, and somebody whom it lets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from suimon.model.actor import Actor
from tests.resources.below import Below
from tests.resources.world import ADMIN, ALICE, ANN, World, refused

MARY = Actor("m", "red", frozenset({"manager", "member"}))


class Things(NamedTuple):
    world: World
    outside: str
    router: str
    port: str
    conntrack: Below
    module: str
    fip: str
    forwardings: Below
    forwarding: str
    local_ip: str
    associations: Below
    associated: str
    flavor: str
    profiles: Below
    profile: str
    other_profile: str

    def forwarding_to(self, external: int) -> dict[str, Any]:
        to = {"internal_port_id": self.port, "internal_ip_address": "10.0.0.2", "internal_port": external}
        return {**to, "protocol": "tcp", "external_port": external}


@pytest.fixture
def things(world: World) -> Things:
    outside, network = world.outside(), world.network()
    router = world.router(external_gateway_info={"network_id": outside}, admin_state_up=False)
    world.act(router, "add_router_interface", {"subnet_id": world.subnet(network)})
    ports = [world.port(network)["id"] for _ in range(3)]
    conntrack = Below(world, "routers", "conntrack_helpers", router)
    fip = world.create("floatingips", floating_network_id=outside)["id"]
    forwardings = Below(world, "floatingips", "port_forwardings", fip)
    used = world.create("local_ips", network_id=network)["id"]
    associations = Below(world, "local_ips", "port_associations", used)
    associations.create(fixed_port_id=ports[1])
    flavor = world.create("flavors", service_type="QOS", by=ADMIN)["id"]
    profiles = Below(world, "flavors", "service_profiles", flavor)
    profile, other = (world.create("service_profiles", metainfo="m", by=ADMIN)["id"] for _ in range(2))
    profiles.create(ADMIN, id=profile)
    made = Things(
        world,
        outside,
        router,
        ports[0],
        conntrack,
        conntrack.create(protocol="tcp", port=21, helper="ftp")["id"],
        fip,
        forwardings,
        "",
        world.create("local_ips", network_id=network)["id"],
        associations,
        ports[1],
        flavor,
        profiles,
        profile,
        other,
    )
    return made._replace(forwarding=forwardings.create(**made.forwarding_to(80))["id"])


Act = Callable[[Things, Actor], Any]
CASES: dict[str, tuple[Act, Actor, Actor]] = {
    # rule: (what is done, whom it refuses, whom it lets)
    "create_router:distributed": (lambda t, by: t.world.create("routers", distributed=False, by=by), ALICE, ADMIN),
    "create_router:ha": (lambda t, by: t.world.create("routers", ha=False, by=by), ALICE, ADMIN),
    "update_router:distributed": (
        lambda t, by: t.world.update("routers", t.router, {"distributed": True}, by),
        ALICE,
        ADMIN,
    ),
    "update_router:ha": (lambda t, by: t.world.update("routers", t.router, {"ha": True}, by), ALICE, ADMIN),
    "create_router_conntrack_helper": (
        lambda t, by: t.conntrack.create(by, protocol="udp", port=69, helper="tftp"),
        ANN,
        ALICE,
    ),
    "update_router_conntrack_helper": (lambda t, by: t.conntrack.update(t.module, by, port=22), ANN, ALICE),
    "delete_router_conntrack_helper": (lambda t, by: t.conntrack.delete(t.module, by), ANN, ALICE),
    "create_floatingip:floating_ip_address": (
        lambda t, by: t.world.create(
            "floatingips", floating_network_id=t.outside, floating_ip_address="192.0.2.77", by=by
        ),
        ALICE,
        MARY,
    ),
    "create_floatingip_port_forwarding": (lambda t, by: t.forwardings.create(by, **t.forwarding_to(81)), ANN, ALICE),
    "update_floatingip_port_forwarding": (
        lambda t, by: t.forwardings.update(t.forwarding, by, external_port=82),
        ANN,
        ALICE,
    ),
    "delete_floatingip_port_forwarding": (lambda t, by: t.forwardings.delete(t.forwarding, by), ANN, ALICE),
    "create_local_ip": (lambda t, by: t.world.create("local_ips", local_port_id=t.port, by=by), ANN, ALICE),
    "update_local_ip": (lambda t, by: t.world.update("local_ips", t.local_ip, {"name": "x"}, by), ANN, ALICE),
    "delete_local_ip": (lambda t, by: t.world.delete("local_ips", t.local_ip, by), ANN, ALICE),
    "create_local_ip_port_association": (lambda t, by: t.associations.create(by, fixed_port_id=t.port), ANN, ALICE),
    "delete_local_ip_port_association": (lambda t, by: t.associations.delete(t.associated, by), ANN, ALICE),
    "create_flavor": (lambda t, by: t.world.create("flavors", service_type="QOS", by=by), ALICE, ADMIN),
    "update_flavor": (lambda t, by: t.world.update("flavors", t.flavor, {"name": "x"}, by), ALICE, ADMIN),
    "delete_flavor": (lambda t, by: t.world.delete("flavors", t.flavor, by), ALICE, ADMIN),
    "create_service_profile": (lambda t, by: t.world.create("service_profiles", metainfo="m", by=by), ALICE, ADMIN),
    "create_flavor_service_profile": (lambda t, by: t.profiles.create(by, id=t.other_profile), ALICE, ADMIN),
    "delete_flavor_service_profile": (lambda t, by: t.profiles.delete(t.profile, by), ALICE, ADMIN),
}


@pytest.mark.parametrize("name", CASES)
def test_the_rule_refuses_and_lets(things: Things, name: str) -> None:
    act, refused_one, let = CASES[name]
    with refused("PolicyNotAuthorized", f"rule:{name} is disallowed by policy"):
        act(things, refused_one)
    act(things, let)


def test_flags_are_seen_by_operators(things: Things) -> None:
    assert {"ha", "distributed"} <= set(things.world.get("routers", things.router, ADMIN))
    assert not {"ha", "distributed"} & set(things.world.get("routers", things.router))
