"""Who may do what: for each rule somebody whom it refuses, and somebody whom it lets."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from suimon.model.actor import Actor
from suimon.resources.persona import RULES
from suimon.resources.registry import RESOURCES
from tests.resources.world import ADMIN, ALICE, ANN, BOB, World, refused

MARY = Actor("mary", "red", frozenset({"manager"}))
NOVA = Actor("nova", "services", frozenset({"service"}))
MAC = {"mac_address": "02:00:00:00:00:01"}
PAIRS = {"allowed_address_pairs": [{"ip_address": "1.1.1.1"}]}
FIXED = {"fixed_ips": [{"ip_address": "10.0.0.77"}]}
VXLAN = {"provider:network_type": "vxlan"}
VLAN = {"provider:network_type": "vlan"}


class Things(NamedTuple):
    """Alice's network is shared, so that Bob sees it and has a port there."""

    network: str
    subnet: str
    port: str
    bobs: str
    own_network: str
    group: str
    rule: str
    router: str
    outside: str
    floating_ip: str
    policy: str
    limit: str
    block: str


@pytest.fixture
def things(world: World) -> Things:
    network = world.network(ADMIN, project_id="red", shared=True)
    subnet = world.subnet(network)
    group = world.create("security-groups", name="g")["id"]
    outside = world.outside()
    policy = world.create("qos/policies", by=ADMIN, project_id="red")["id"]
    return Things(
        network,
        subnet,
        world.port(network)["id"],
        world.port(network, BOB)["id"],
        world.network(BOB),
        group,
        world.create("security-group-rules", security_group_id=group, direction="ingress")["id"],
        world.router(external_gateway_info={"network_id": outside}),
        outside,
        world.create("floatingips", floating_network_id=outside)["id"],
        policy,
        child(world, "bandwidth_limit_rules", "create", policy, ADMIN, max_kbps=1),
        child(world, "port_block_rules", "create", policy, ADMIN, protocol="tcp", port_range_min=25),
    )


def child(world: World, path: str, act: str, policy: str, by: Actor, *ids: str, **body: Any) -> str:
    resource = RESOURCES["qos/policies"].children[path]
    spec = resource.spec
    wanted = [] if act == "delete" else [(spec.for_create if act == "create" else spec.for_update)(body, by)]
    expected = [] if act == "create" else [None]
    shown = world.write(lambda tx: getattr(resource, act)(tx, by, policy, *ids, *wanted, *expected), by)
    return shown.id if shown else ""


Act = Callable[[World, Things, Actor], Any]


def create(path: str, /, **body: Any) -> Act:
    """`$name` in a body stands for the thing of that name."""

    def act(world: World, things: Things, by: Actor) -> Any:
        return world.create(path, {key.replace("__", ":"): filled(value, things) for key, value in body.items()}, by=by)

    return act


def filled(value: Any, things: Things) -> Any:
    if isinstance(value, dict):
        return {key: filled(item, things) for key, item in value.items()}
    return getattr(things, value[1:]) if isinstance(value, str) and value.startswith("$") else value


def update(path: str, thing: str, /, **body: Any) -> Act:
    def act(world: World, things: Things, by: Actor) -> Any:
        asked = {key.replace("__", ":"): filled(value, things) for key, value in body.items()}
        return world.update(path, getattr(things, thing), asked, by)

    return act


def delete(path: str, name: str) -> Act:
    return lambda world, things, by: world.delete(path, getattr(things, name), by)


def action(name: str, body: dict[str, Any]) -> Act:
    return lambda world, things, by: world.act(things.router, name, filled(body, things), by)


def qos(path: str, act: str, name: str = "", /, **body: Any) -> Act:
    def run(world: World, things: Things, by: Actor) -> Any:
        return child(world, path, act, things.policy, by, *([getattr(things, name)] if name else []), **body)

    return run


def trunk(act: str) -> Act:
    """An act on a trunk of Alice's."""

    def run(world: World, things: Things, by: Actor) -> Any:
        made = world.list("trunks") or [world.create("trunks", port_id=things.port)]
        id_ = made[0]["id"]
        match act:
            case "update_trunk":
                return world.update("trunks", id_, {"name": "x"}, by)
            case "delete_trunk":
                return world.delete("trunks", id_, by)
        return world.write(lambda tx: RESOURCES["trunks"].actions[act](tx, by, id_, {"sub_ports": []}), by)

    return run


def one_rule(path: str, act: str, given: dict[str, Any], /, **changes: Any) -> Act:
    """An act on a rule of Alice's policy, which is made first unless it is there."""

    def run(world: World, things: Things, by: Actor) -> Any:
        if act == "create":
            return child(world, path, act, things.policy, by, **given)
        kind = path.removesuffix("_rules")
        there = [rule for rule in world.get("qos/policies", things.policy, ADMIN)["rules"] if rule["type"] == kind]
        id_ = there[0]["id"] if there else child(world, path, "create", things.policy, ADMIN, **given)
        return child(world, path, act, things.policy, by, id_, **(changes if act == "update" else {}))

    return run


def a_template(act: str) -> Act:
    def run(world: World, things: Things, by: Actor) -> Any:
        path = "default-security-group-rules"
        if act == "delete":
            return world.delete(path, world.list(path)[0]["id"], by)
        return world.create(path, used_in_default_sg=True, used_in_non_default_sg=True, direction="ingress", by=by)

    return run


LOG = {"resource_type": "security_group"}
MORE_RULES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "packet_rate_limit": ({"max_kpps": 1}, {"max_kpps": 2}),
    "dscp_marking": ({"dscp_mark": 8}, {"dscp_mark": 10}),
    "minimum_bandwidth": ({"min_kbps": 1}, {"min_kbps": 0}),
    "minimum_packet_rate": ({"min_kpps": 1}, {"min_kpps": 2}),
}
ROUTES: dict[str, Any] = {"router": {"routes": []}}
CASES: dict[str, tuple[Act, Actor, Actor]] = {
    # rule: (what is done, whom it refuses, whom it lets)
    "create_network": (create("networks"), ANN, ALICE),
    "create_network:shared": (create("networks", shared=True), ALICE, ADMIN),
    "create_network:router:external": (create("networks", router__external=True), ALICE, ADMIN),
    "create_network:provider:network_type": (create("networks", **VXLAN), ALICE, ADMIN),
    "update_network": (update("networks", "network", name="x"), BOB, ALICE),
    "update_network:shared": (update("networks", "own_network", shared=True), BOB, ADMIN),
    "update_network:router:external": (update("networks", "network", router__external=True), ALICE, ADMIN),
    "delete_network": (delete("networks", "own_network"), Actor("x", "blue", frozenset({"reader"})), BOB),
    "create_subnet": (create("subnets", network_id="$network", ip_version=4, cidr="10.9.0.0/24"), BOB, ALICE),
    "update_subnet": (update("subnets", "subnet", name="x"), BOB, ALICE),
    "delete_subnet": (delete("subnets", "subnet"), BOB, None),  # type: ignore[dict-item]
    "create_port": (create("ports", network_id="$network"), ANN, BOB),
    "create_port:device_owner:network": (
        create("ports", network_id="$network", device_owner="network:dhcp"),
        BOB,
        ALICE,
    ),
    "create_port:mac_address": (create("ports", network_id="$network", **MAC), BOB, ALICE),
    "create_port:fixed_ips:ip_address": (create("ports", network_id="$network", **FIXED), BOB, ALICE),
    "create_port:port_security_enabled": (
        create("ports", network_id="$network", port_security_enabled=False),
        BOB,
        ALICE,
    ),
    "create_port:allowed_address_pairs": (create("ports", network_id="$network", **PAIRS), BOB, ALICE),
    "create_port:binding:host_id": (create("ports", network_id="$network", binding__host_id="h"), ALICE, ADMIN),
    "create_port:binding:profile": (create("ports", network_id="$network", binding__profile={"a": 1}), ADMIN, NOVA),
    "update_port": (update("ports", "port", name="x"), ANN, ALICE),
    "update_port:device_owner:network": (update("ports", "bobs", device_owner="network:dhcp"), BOB, ADMIN),
    "update_port:mac_address": (update("ports", "port", **MAC), ALICE, ADMIN),
    "update_port:fixed_ips:ip_address": (update("ports", "bobs", **FIXED), BOB, ADMIN),
    "update_port:port_security_enabled": (
        update("ports", "bobs", port_security_enabled=False, security_groups=[]),
        BOB,
        ADMIN,
    ),
    "update_port:allowed_address_pairs": (update("ports", "bobs", **PAIRS), BOB, ADMIN),
    "update_port:binding:host_id": (update("ports", "port", binding__host_id="h"), ALICE, ADMIN),
    "update_port:binding:profile": (update("ports", "port", binding__profile={"a": 1}), ADMIN, NOVA),
    "delete_port": (delete("ports", "port"), ANN, ALICE),
    "create_port:hints": (create("ports", network_id="$network", hints={"openvswitch": {}}), ALICE, ADMIN),
    "create_port:trusted": (create("ports", network_id="$network", trusted=True), ALICE, ADMIN),
    "update_port:hints": (update("ports", "port", hints={"openvswitch": {}}), ALICE, ADMIN),
    "update_port:trusted": (update("ports", "port", trusted=True), ALICE, ADMIN),
    "update_port:data_plane_status": (update("ports", "port", data_plane_status="DOWN"), ALICE, ADMIN),
    "create_trunk": (create("trunks", port_id="$port"), ANN, ALICE),
    "update_trunk": (trunk("update_trunk"), ANN, ALICE),
    "delete_trunk": (trunk("delete_trunk"), ANN, ALICE),
    "add_subports": (trunk("add_subports"), ANN, ALICE),
    "remove_subports": (trunk("remove_subports"), ANN, ALICE),
    "create_security_group": (create("security-groups", name="h"), ANN, ALICE),
    "update_security_group": (update("security-groups", "group", name="h"), ANN, ALICE),
    "delete_security_group": (delete("security-groups", "group"), ANN, ALICE),
    "create_security_group_rule": (
        create("security-group-rules", security_group_id="$group", direction="ingress", protocol="tcp"),
        ANN,
        ALICE,
    ),
    "delete_security_group_rule": (delete("security-group-rules", "rule"), ANN, ALICE),
    "create_router": (create("routers"), ANN, ALICE),
    "create_router:external_gateway_info:enable_snat": (
        create("routers", external_gateway_info={"network_id": "$outside", "enable_snat": False}),
        ALICE,
        ADMIN,
    ),
    "create_router:external_gateway_info:external_fixed_ips": (
        create(
            "routers",
            external_gateway_info={"network_id": "$outside", "external_fixed_ips": [{"ip_address": "192.0.2.9"}]},
        ),
        ALICE,
        ADMIN,
    ),
    "update_router": (update("routers", "router", name="x"), ANN, ALICE),
    "update_router:external_gateway_info:enable_snat": (
        update("routers", "router", external_gateway_info={"network_id": "$outside", "enable_snat": False}),
        ALICE,
        ADMIN,
    ),
    "update_router:external_gateway_info:external_fixed_ips": (
        update(
            "routers",
            "router",
            external_gateway_info={"network_id": "$outside", "external_fixed_ips": [{"ip_address": "192.0.2.9"}]},
        ),
        ALICE,
        ADMIN,
    ),
    "delete_router": (delete("routers", "router"), ANN, ALICE),
    "add_router_interface": (action("add_router_interface", {"subnet_id": "$subnet"}), ANN, ALICE),
    "remove_router_interface": (action("remove_router_interface", {"port_id": "$port"}), ANN, None),  # type: ignore[dict-item]
    "add_extraroutes": (action("add_extraroutes", ROUTES), ANN, ALICE),
    "remove_extraroutes": (action("remove_extraroutes", ROUTES), ANN, ALICE),
    "create_floatingip": (create("floatingips", floating_network_id="$outside"), ANN, ALICE),
    "create_floatingip:floating_ip_address": (
        create("floatingips", floating_network_id="$outside", floating_ip_address="192.0.2.77"),
        ALICE,
        ADMIN,
    ),
    "update_floatingip": (update("floatingips", "floating_ip", description="x"), ANN, ALICE),
    "delete_floatingip": (delete("floatingips", "floating_ip"), ANN, ALICE),
    "create_policy": (create("qos/policies"), ALICE, MARY),
    "update_policy": (update("qos/policies", "policy", name="x"), ALICE, MARY),
    "delete_policy": (delete("qos/policies", "policy"), ALICE, MARY),
    "create_policy_bandwidth_limit_rule": (
        qos("bandwidth_limit_rules", "create", max_kbps=1, direction="ingress"),
        ALICE,
        ADMIN,
    ),
    "update_policy_bandwidth_limit_rule": (qos("bandwidth_limit_rules", "update", "limit", max_kbps=2), ALICE, ADMIN),
    "delete_policy_bandwidth_limit_rule": (qos("bandwidth_limit_rules", "delete", "limit"), ALICE, ADMIN),
    "create_policy_port_block_rule": (
        qos("port_block_rules", "create", protocol="udp", port_range_min=1),
        ALICE,
        ADMIN,
    ),
    "update_policy_port_block_rule": (qos("port_block_rules", "update", "block", protocol="udp"), ALICE, ADMIN),
    "delete_policy_port_block_rule": (qos("port_block_rules", "delete", "block"), ALICE, ADMIN),
    **{
        f"{act}_policy_{kind}_rule": (one_rule(f"{kind}_rules", act, given, **changes), ALICE, MARY)
        for kind, (given, changes) in MORE_RULES.items()
        for act in ("create", "update", "delete")
    },
    "create_default_security_group_rule": (a_template("create"), MARY, ADMIN),
    "delete_default_security_group_rule": (a_template("delete"), MARY, ADMIN),
    "create_log": (create("log/logs", **LOG), ALICE, MARY),
}


@pytest.mark.parametrize("name", CASES)
def test_the_rule_refuses_and_lets(world: World, things: Things, name: str) -> None:
    act, refused_one, let = CASES[name]
    with refused("PolicyNotAuthorized", f"rule:{name} is disallowed by policy"):
        act(world, things, refused_one)
    if let is not None:
        act(world, things, let)


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ({"provider:physical_network": "physnet1"}, "create_network:provider:physical_network"),
        ({"provider:segmentation_id": 5}, "create_network:provider:segmentation_id"),
    ],
)
def test_a_segment_is_the_operators_to_name(world: World, body: dict[str, Any], rule: str) -> None:
    with refused("PolicyNotAuthorized", rule):
        world.create("networks", body)


SEEN_BY_ADMINS = [name for name in RULES if name.startswith(("get_network:", "get_port:"))]


@pytest.mark.parametrize("name", SEEN_BY_ADMINS)
def test_what_only_operators_see(world: World, things: Things, name: str) -> None:
    kind, _, attribute = name.removeprefix("get_").partition(":")
    id_ = things.network if kind == "network" else things.port
    assert attribute in world.get(f"{kind}s", id_, ADMIN)
    assert attribute not in world.get(f"{kind}s", id_, ALICE)


@pytest.mark.parametrize("roles", [{"reader"}, {"service"}, {"reader", "auditor"}, set()])
def test_only_members_write(world: World, things: Things, roles: set[str]) -> None:
    other = Actor("x", "red", frozenset(roles))
    assert world.get("networks", things.network, other)
    with refused("PolicyNotAuthorized"):
        world.network(other)
    world.network(Actor("x", "red", frozenset(roles | {"member"})))


def test_nobody_creates_for_another_project(world: World, things: Things) -> None:
    for path, body in (
        ("networks", {}),
        ("ports", {"network_id": things.network}),
        ("routers", {}),
        ("security-groups", {}),
        ("floatingips", {"floating_network_id": things.outside}),
    ):
        with refused("HTTPBadRequest", "Specifying 'project_id' other than the authenticated project"):
            world.create(path, {**body, "project_id": "red"}, by=BOB)
        assert world.create(path, {**body, "project_id": "red"}, by=ADMIN)["project_id"] == "red"
